"""Values that were worked out lately, kept within so many bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keeps the values that were asked for last; safe in threads."""

    def __init__(self, most_bytes: int, size: Callable[[Value], int]) -> None:
        """Keep at most so many bytes.

        Args:
            most_bytes: of all values together; a value larger than that is not kept.
            size: a value's size in bytes.
        """
        self._most = most_bytes
        self._size = size
        self._held: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made now where it is not kept.

        Two threads that ask for the same missing value at once both make it.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        value = make()
        size = self._size(value)
        with self._lock:
            if key not in self._held and size <= self._most:
                self._held[key] = value
                self._bytes += size
                while self._bytes > self._most:
                    _, oldest = self._held.popitem(last=False)
                    self._bytes -= self._size(oldest)
        return value

    def find(self, key: Hashable) -> Value | None:
        """Return the value of a key; None where it is not kept."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    @property
    def num_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes
