"""Counters that stages leave with their work, and how they add up over partitions."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

#: Beginning of a counter that is not a sum but the least of its values: ``least_batch``.
LEAST = "least_"


def merge_notes(into: MutableMapping[str, float], more: Mapping[str, float]) -> None:
    """Add counters: sums, but for those that begin with ``least_``.

    Args:
        into: changed in place.
        more: counters by name, ``stage.counter`` or ``counter``.

    Example:
        >>> total = {"blip.halvings": 1.0, "blip.least_batch": 32.0}
        >>> merge_notes(total, {"blip.halvings": 2.0, "blip.least_batch": 8.0})
        >>> total
        {'blip.halvings': 3.0, 'blip.least_batch': 8.0}
    """
    for name, value in more.items():
        if name not in into:
            into[name] = value
        elif name.rpartition(".")[2].startswith(LEAST):
            into[name] = min(into[name], value)
        else:
            into[name] += value
