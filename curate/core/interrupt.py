"""Ctrl-C and SIGTERM while training: the step is finished, the state saved, then it stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class StopAsked:
    """Notes the first request to stop; a second one stops at once.

    Signals are watched inside of the ``with`` block, in the main thread; elsewhere nothing is.
    """

    def __init__(
        self, tell: Callable[[str], None], elsewhere: Callable[[], bool] | None = None
    ) -> None:
        """Prepare.

        Args:
            tell: gets a line when a request comes.
            elsewhere: whether somebody has asked by other means.
        """
        self._asked = False
        self._elsewhere = elsewhere
        self._tell = tell
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether to stop after the step."""
        return self._asked or (self._elsewhere is not None and self._elsewhere())

    def __enter__(self) -> StopAsked:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._tell("stopping after this step; once more stops at once")
