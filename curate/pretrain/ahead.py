"""Reading ahead: the next batches are made in a thread while the model trains on this one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

_POLL_S = 0.1


class Ahead(Generic[Item]):
    """Iterates over what another iterable yields, made by a thread that stays ahead.

    An exception of the iterable is raised where its item would have come. Leaving the ``with``
    block ends the thread, wherever it is.

    Attributes:
        waited_s: seconds the consumer has waited for items.

    Example:
        >>> with Ahead(range(3), depth=2) as items:
        ...     list(items)
        [0, 1, 2]
    """

    def __init__(self, items: Iterable[Item], *, depth: int) -> None:
        """Prepare; the thread starts with the ``with`` block.

        Args:
            items: made in the thread.
            depth: most items that wait; 0 makes each one when it is asked for, without a thread.
        """
        self.items = items
        self.depth = depth
        self.waited_s = 0.0
        self._ready: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(
            max(1, depth)
        )
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Ahead[Item]:
        if self.depth:
            self._thread = threading.Thread(target=self._make, name="read-ahead", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        if self._thread is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        iterator = self._taken() if self.depth else iter(self.items)
        while True:
            started = time.monotonic()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.waited_s += time.monotonic() - started
            yield item

    def _taken(self) -> Iterator[Item]:
        while True:
            what, value = self._ready.get()
            if what == "end":
                return
            if what == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]

    def _make(self) -> None:
        try:
            for item in self.items:
                if not self._put("item", item):
                    return
            self._put("end", None)
        except BaseException as error:  # raised again where the item would have come
            self._put("error", error)

    def _put(self, what: str, value: Item | BaseException | None) -> bool:
        """Hand an item over; returns False once nobody takes items any more."""
        while not self._left.is_set():
            try:
                self._ready.put((what, value), timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
