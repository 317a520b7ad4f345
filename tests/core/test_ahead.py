from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from curate.core.ahead import in_order


@pytest.mark.parametrize("at_once", [1, 2, 5, 50])
def test_results_come_in_order_whatever_the_calls_take(at_once: int) -> None:
    def slow(number: int) -> int:
        time.sleep(0.01 if number % 3 == 0 else 0)
        return number * number

    assert list(in_order(slow, range(20), at_once=at_once)) == [n * n for n in range(20)]
    assert list(in_order(slow, [], at_once=at_once)) == []


def test_calls_overlap_and_no_more_than_asked_for() -> None:
    together = threading.Barrier(3)  # breaks unless three calls are made at once
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    found = in_order(lambda number: (together.wait(5), number)[1], items(), at_once=3)
    assert next(found) == 0
    assert len(taken) == 4
    assert list(found) == list(range(1, 9))


def test_an_error_comes_in_its_turn_and_ends_it() -> None:
    found = in_order(lambda number: 1 // (2 - number), range(9), at_once=4)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert list(found) == []


def test_one_at_a_time_starts_no_thread() -> None:
    names = list(in_order(lambda _: threading.current_thread().name, [1, 2], at_once=1))
    assert names == [threading.current_thread().name] * 2
