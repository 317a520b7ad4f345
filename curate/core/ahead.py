"""Reading ahead: a few calls at once, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    call: Callable[[Item], Result], items: Iterable[Item], *, at_once: int
) -> Iterator[Result]:
    """Yield the results of calls in the order of the items, some of them made ahead in threads.

    For calls that mostly wait, as reads of an object store do.

    Args:
        call: what to do with an item; may be called from several threads.
        items: consumed as results are taken.
        at_once: calls in flight or waiting to be taken; 1 makes none ahead and starts no thread.

    Raises:
        Exception: whatever a call raises, in its turn.
    """
    if at_once == 1:
        yield from map(call, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(at_once, thread_name_prefix="curate-ahead") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            waiting.extend(pool.submit(call, item) for item in islice(source, at_once))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(call, item) for item in islice(source, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
