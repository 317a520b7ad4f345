"""``batch_size: auto``: the largest batch that a worker's share of its GPU has room for.

A batch of one is tried, then of two, of four and so on, on pictures and texts as large as they can
get, while the next one can be expected to stay below four fifths of the memory. The rest is for
what was not tried, a neighbour's fragments, say; a batch that is too much all the same is halved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

#: Pictures in a batch where nothing is measured. On a CPU larger ones are no faster: a core is busy
#: with one picture already.
CPU_BATCH = 32
#: More than the rows of a usual partition cannot be in a batch.
LARGEST = 1024
_FULL = 0.8
_MOST = 4096


def _check(value: Any) -> Any:
    """Say in one sentence what a union's members would each say in one of their own."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if value == "auto" or (number and 1 <= value <= _MOST):
        return value
    raise ValueError(f"should be auto or a number from 1 to {_MOST}, got {value!r}")


#: The setting: pictures in a batch, or ``auto``.
BatchSize = Annotated[int | Literal["auto"], BeforeValidator(_check)]


def largest_batch(used: Callable[[int], float | None]) -> int:
    """Return the largest power of two that is expected to fit, at most ``LARGEST``.

    Args:
        used: works on a batch of so many pictures and returns the share of the memory that was
            taken at most; None when it ran out.

    Returns:
        1 at least: where not even that fits, the first batch will say so.
    """
    size, before = 1, used(1)
    if before is None or before > _FULL:
        return 1
    while size < LARGEST:
        taken = used(size * 2)
        if taken is None or taken > _FULL:
            return size
        size *= 2
        # Weights are there once, pictures as often as there are any: memory grows along a line.
        following = taken + 2 * max(taken - before, 0.0)
        if following > _FULL:
            return size
        before = taken
    return size


def gpu_share_used(work: Callable[[int], None], *, share: float) -> Callable[[int], float | None]:
    """Return ``used`` for ``largest_batch`` on the current GPU.

    Args:
        work: works on a batch of so many pictures.
        share: the worker's share of the GPU, in (0, 1].
    """
    import torch

    room = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory * share

    def used(size: int) -> float | None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            work(size)
            torch.cuda.synchronize()
        except torch.OutOfMemoryError:
            return None
        return torch.cuda.max_memory_reserved() / room

    return used
