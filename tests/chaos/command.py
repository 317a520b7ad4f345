"""``curate`` in processes of its own that start quickly and can be killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

#: Imported once, and found in memory by every process: none of these starts a thread.
_PRELOAD = [
    *("curate.cli", "curate.run", "curate.recipe", "curate.terminal", "curate.after_passes"),
    *(
        "curate.summary",
        "curate.models.med_family",
        "curate.models.loading",
        "curate.sources.url_list",
    ),
    *("curate.stages.download.fetch", "curate.stages.captioners.med", "curate.stages.scorers.med"),
    *("curate.exporters.webdataset", "torch", "transformers", "pandas", "lance_namespace"),
]


def start(
    arguments: Sequence[str | Path], said: Path, environment: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Start the command line.

    Args:
        arguments: what would stand after ``curate``.
        said: file to which its output is appended.
        environment: variables set for it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    process = context.Process(
        target=_main, args=([str(one) for one in arguments], str(said), dict(environment or {}))
    )
    process.start()
    return process


def finish(arguments: Sequence[str | Path], said: Path, timeout_s: float = 300) -> None:
    """Run the command line to its end, which has to be a good one."""
    process = start(arguments, said)
    process.join(timeout_s)
    if process.exitcode != 0:
        process.kill()
        raise AssertionError(
            f"exit code {process.exitcode}:\n{said.read_text(encoding='utf-8')[-6000:]}"
        )


def killed_after(process: ForkServerProcess, seconds: float) -> bool:
    """Kill a process after so long; returns whether it had not ended before."""
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _main(arguments: list[str], said: str, environment: dict[str, str]) -> None:
    with Path(said).open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    os.environ.update(environment)
    import torch

    from curate.cli import main

    torch.set_num_threads(1)
    main(arguments)


def await_exit(process: ForkServerProcess, timeout_s: float) -> int | None:
    """Wait for a process to end by itself; returns its exit code."""
    deadline = time.monotonic() + timeout_s
    while process.exitcode is None and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            process.join(1)
    return process.exitcode
