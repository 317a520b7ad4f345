"""Bootstrap clean image-text pairs from noisy web lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.core.version import __version__

__all__ = ["RunView", "__version__", "open_run", "stream"]

if TYPE_CHECKING:
    from curate.core.location import StorePath
    from curate.inspection.run_view import RunView
    from curate.streaming.stream import stream


def open_run(path: str | StorePath) -> RunView:
    """Open a run's folder for looking: rows, texts, ledger and pictures.

    Args:
        path: the folder a recipe names as ``output``; a URL such as ``s3://bucket/run`` as well.

    Raises:
        curate.core.errors.StoreError: the folder holds no run.

    Example:
        >>> run = curate.open_run("runs/quickstart")  # doctest: +SKIP
        >>> run.texts().head()  # doctest: +SKIP
    """
    from curate.inspection.run_view import RunView

    return RunView.open(path)


def __getattr__(name: str) -> object:
    if name == "RunView":
        from curate.inspection.run_view import RunView

        return RunView
    if name == "stream":
        from curate.streaming.stream import stream

        return stream
    raise AttributeError(f"module 'curate' has no attribute {name!r}")
