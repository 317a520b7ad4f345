"""Whether a cluster's GPUs hold workers that take shares of them.

A share lies on one GPU: three workers of 0.6 do not fit on two GPUs, although 1.8 is less than 2.
Workers are placed as Ray does, in the order in which they are started, each on the fullest GPU that
still has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: Ray counts shares in ten-thousandths.
_WHOLE = 10_000


def gpus_hold(gpus: float, workers: Iterable[tuple[float, int]]) -> bool:
    """Return whether so many GPUs hold all workers.

    Args:
        gpus: of the cluster.
        workers: share of a GPU (or a whole number of GPUs) and count, in the order of their start.

    Example:
        >>> gpus_hold(2, [(0.6, 3)]), gpus_hold(2, [(0.5, 3)])
        (False, True)
    """
    free = Counter({_WHOLE: int(gpus)})
    return all(_placed(free, round(share * _WHOLE), count) for share, count in workers)


def _placed(free: Counter[int], share: int, count: int) -> bool:
    """Take room for workers out of ``free`` (GPUs by what is left of them), fullest GPUs first."""
    if share == 0:
        return True
    if share >= _WHOLE:
        free[_WHOLE] -= -(-share // _WHOLE) * count
        return free[_WHOLE] >= 0
    for left in sorted(left for left, number in free.items() if number and left >= share):
        each = left // share
        full, rest = divmod(min(count, each * free[left]), each)
        free[left] -= full + (rest > 0)
        free[left - each * share] += full
        if rest:
            free[left - rest * share] += 1
        count -= full * each + rest
    return count == 0
