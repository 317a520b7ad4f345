"""The command line's type for a run's folder: a path, or the URL of a folder on an object store."""

from __future__ import annotations

from typing import Any

import click


class RunFolder(click.ParamType[Any]):
    """Gives a ``StorePath``."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return where a path or URL points.

        Raises:
            StoreError: no such protocol, or its package is not installed.
        """
        from curate.core.location import store_path

        return store_path(value)


RUN_FOLDER = RunFolder()
