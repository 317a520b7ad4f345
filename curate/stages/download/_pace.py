"""How many requests may be in flight: fewer while many of them time out, more when they stop."""

from __future__ import annotations

import asyncio
import time
from collections import deque

_WINDOW = 32
_LEAST = 4


class Pace:
    """A counting gate whose width follows the share of requests that time out.

    After every 32 answers: a quarter or more timed out at two hosts or more (one slow host says
    nothing of our own line) narrows the gate by three tenths, down to 4; less than a twentieth
    widens it by an eighth, up to where it began.
    """

    def __init__(self, most: int) -> None:
        """Open the gate.

        Args:
            most: requests in flight at the most.
        """
        self._most = most
        self._width = most
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._answers = 0
        self._late: list[str] = []
        self.narrowed = 0
        #: Seconds that places were taken, all together, once everybody has left.
        self.taken_s = 0.0

    @property
    def width(self) -> int:
        """Requests that may be in flight now."""
        return self._width

    async def enter(self) -> None:
        """Wait for a place, first come first served."""
        if self._inside < self._width and not self._waiting:
            self._take()
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place back."""
        self._inside -= 1
        self.taken_s += time.monotonic()
        self._admit()

    def _take(self) -> None:
        self._inside += 1
        self.taken_s -= time.monotonic()

    def judge(self, host: str, *, timed_out: bool) -> None:
        """Count an answer of a host."""
        self._answers += 1
        if timed_out:
            self._late.append(host)
        if self._answers < _WINDOW:
            return
        share = len(self._late) / self._answers
        if share >= 0.25 and len(set(self._late)) > 1:
            self._width = max(min(_LEAST, self._most), int(self._width * 0.7))
            self.narrowed += 1
        elif share < 0.05:
            self._width = min(self._most, self._width + max(1, self._width // 8))
        self._answers, self._late = 0, []
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._inside < self._width:
            place = self._waiting.popleft()
            if not place.done():
                self._take()
                place.set_result(None)
