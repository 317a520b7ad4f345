"""Trainings side by side: small models make better use of cores by several processes than by one.

What is trained here is trained once, so that whoever wants it afterwards finds it there. A training
that fails is left undone: who wants it trains it again, in its own process, and is told what is
wrong.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from curate.core.errors import CurateError


class SideBySide:
    """Runs some calls at a time, each in a process of its own.

    The processes end with this one, also when it is killed.
    """

    def __init__(self, jobs: int) -> None:
        """Say how many at a time; 1 runs nothing ahead."""
        self._jobs = jobs
        self._running: dict[str, BaseProcess] = {}

    def start(self, name: str, call: Callable[..., object], *arguments: Any) -> None:
        """Start a call once there is room.

        Args:
            name: of what it makes.
            call: a function of a module.
            arguments: what it is called with; they must pickle.
        """
        if self._jobs == 1:
            return
        while len(self._running) >= self._jobs:
            self._wait_for_one()
        process = multiprocessing.get_context("spawn").Process(
            target=_child, args=(max(1, _num_threads() // self._jobs), call, *arguments), name=name
        )
        process.start()
        self._running[name] = process

    def is_running(self, name: str) -> bool:
        """Whether the call of this name goes on."""
        process = self._running.get(name)
        if process is not None and not process.is_alive():
            del self._running[name]
        return name in self._running

    def finish(self, *names: str) -> None:
        """Wait for the calls of these names, or for all that were started."""
        while any(self.is_running(name) for name in names or tuple(self._running)):
            self._wait_for_one()

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Stop what goes on when the block is left by an exception: trainings save their state."""
        try:
            yield
        finally:
            for process in self._running.values():
                process.terminate()
            for process in self._running.values():
                process.join()

    def _wait_for_one(self) -> None:
        wait([process.sentinel for process in self._running.values()])
        for name in list(self._running):
            self.is_running(name)


def _num_threads() -> int:
    import torch

    return torch.get_num_threads()


def _child(threads: int, call: Callable[..., object], *arguments: Any) -> None:
    import torch

    os.setpgrp()  # Ctrl-C in the terminal goes to the parent, which asks for a stop once
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_it() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        call(*arguments)
    except (CurateError, KeyboardInterrupt):
        sys.exit(1)
