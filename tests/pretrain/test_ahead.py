from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from curate.pretrain.ahead import Ahead


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_items_come_in_order(depth: int) -> None:
    with Ahead(range(50), depth=depth) as items:
        assert list(items) == list(range(50))


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_where_its_item_would_have(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with Ahead(items(), depth=depth) as ahead:
        iterator = iter(ahead)
        assert next(iterator) == 1
        with pytest.raises(ValueError, match="broken"):
            next(iterator)


def test_it_stays_so_far_ahead_and_no_further() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with Ahead(items(), depth=3) as ahead:
        iterator = iter(ahead)
        next(iterator)
        deadline = time.monotonic() + 5
        while len(made) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(made) == 5  # one taken, three waiting, one in hand
    before = threading.active_count()
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
    assert before == threading.active_count()


def test_waiting_is_counted() -> None:
    def items() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.05)
            yield number

    with Ahead(items(), depth=2) as slow:
        list(slow)
    with Ahead(range(3), depth=2) as fast:
        list(fast)
    assert slow.waited_s > 0.1
    assert fast.waited_s < 0.05
