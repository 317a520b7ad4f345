"""Near neighbours among 64-bit hashes, out of core, and which of them stop.

Two hashes that differ in at most d bits, cut into d + k bands, agree in at least k bands whole
(pigeonhole). So for every choice of k bands the hashes are bucketed by those bands' bits and only
hashes equal in them are compared. More bands to agree on make smaller groups and more rounds;
``k`` is chosen from the size of the set.

Source: Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR
2012; k > 1 as in Manku, Jain, Das Sarma, "Detecting Near-Duplicates for Web Crawling", WWW 2007.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.stages.dedup._spill import (
    STOP,
    Places,
    Records,
    Spill,
    bucket_count,
    earliest,
    mixed,
    repeats,
)

_BITS = 64
#: Hashes that agree by chance in the chosen bands, on average, above which k grows.
_GROUP = 16
#: Most rounds over the set.
_MAX_ROUNDS = 200

#: A picture's perceptual hash and its place.
LOOK = np.dtype([("phash", "<u8"), ("place", "<i8")])
_POPCOUNT = np.array([value.bit_count() for value in range(1 << 16)], dtype=np.uint8)


def near_stops(
    looks: Spill, places: Places, scratch: Path, *, max_distance: int
) -> Iterator[Records]:
    """Yield stops (``STOP``, ``how`` 0) of hashes near one that was kept before them.

    Args:
        looks: records with ``phash`` and ``place``, bucketed by hash, in any order of places.
            Consumed.
        places: after its scan.
        scratch: folder for further spills.
        max_distance: greatest Hamming distance that stops.
    """
    distinct = Spill(scratch / "distinct", LOOK, 1)
    count = 0
    for bucket in range(looks.buckets):
        # A hash equal to an earlier one always stops: either that one is kept, or it stopped for
        # one that is as near to both.
        firsts = earliest(looks, bucket, ("phash",))
        yield from repeats(looks, bucket, ("phash",), firsts)
        count += len(firsts)
        distinct.add(firsts, np.zeros(len(firsts), dtype=np.int64))
    looks.drop()
    if max_distance == 0:
        return
    edges = Spill(scratch / "edges", STOP, places.ranges)
    for number, mask in enumerate(masks(max_distance, count)):
        groups = Spill(scratch / f"bands-{number}", LOOK, bucket_count(count))
        for chunk in distinct.read(0):
            groups.add(chunk, mixed(chunk["phash"] & mask, groups.buckets))
        for bucket in range(groups.buckets):
            chunks = [np.zeros(0, LOOK), *groups.read(bucket)]
            for pairs in close_pairs(np.concatenate(chunks), mask, max_distance=max_distance):
                edges.add(pairs, places.range_of(pairs["place"]))
        groups.drop()
    distinct.drop()
    yield from _greedy(edges, places)


def masks(max_distance: int, count: int) -> list[np.uint64]:
    """Return the bits to agree on in every round.

    Any two hashes within ``max_distance`` agree in at least one of the masks. Bits of a band are
    strided: neighbouring bits of a perceptual hash are alike, and bands of them would be uneven.

    Args:
        max_distance: at least 1.
        count: number of distinct hashes.
    """
    agree = 1
    while (
        count / 2 ** (_BITS * agree / (max_distance + agree)) > _GROUP
        and math.comb(max_distance + agree + 1, agree + 1) <= _MAX_ROUNDS
    ):
        agree += 1
    num_bands = max_distance + agree
    bands = [sum(1 << bit for bit in range(band, _BITS, num_bands)) for band in range(num_bands)]
    return [np.uint64(sum(chosen)) for chosen in itertools.combinations(bands, agree)]


def close_pairs(looks: Records, mask: np.uint64, *, max_distance: int) -> Iterator[Records]:
    """Yield pairs (``STOP``: later place, earlier place, distance) among hashes equal under a mask.

    Memory is a small multiple of ``looks``; time grows with the pairs that agree under the mask.
    """
    keys = looks["phash"] & mask
    order = np.argsort(keys, kind="stable")
    keys, hashes, spots = keys[order], looks["phash"][order], looks["place"][order]
    ends = np.searchsorted(keys, keys, side="right")
    active = np.arange(len(keys))
    step = 1
    while len(active := active[active + step < ends[active]]):
        distance = popcount(hashes[active] ^ hashes[active + step])
        close = distance <= max_distance
        left, right = spots[active[close]], spots[active[close] + step]
        pairs = np.zeros(len(left), dtype=STOP)
        pairs["place"], pairs["first"] = np.maximum(left, right), np.minimum(left, right)
        pairs["distance"] = distance[close]
        yield pairs
        step += 1


def popcount(values: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the number of set bits of every value."""
    words = np.ascontiguousarray(values).view(np.uint16).reshape(-1, 4)
    return np.asarray(_POPCOUNT[words].sum(axis=1, dtype=np.uint8))


def _greedy(edges: Spill, places: Places) -> Iterator[Records]:
    """Walk the pairs in source order: a hash stops if an earlier neighbour was kept.

    Remembers one bit a row of the source.
    """
    stopped = np.zeros(-(-places.size // 8), dtype=np.uint8)
    for bucket in range(edges.buckets):
        pairs = np.concatenate([np.zeros(0, STOP), *edges.read(bucket)])
        pairs = pairs[np.lexsort([pairs[name] for name in ("first", "distance", "place")])]
        later, earlier = places.dense(pairs["place"]), places.dense(pairs["first"])
        yield pairs[_walk(later.tolist(), earlier.tolist(), stopped)]


def _walk(later: list[int], earlier: list[int], stopped: NDArray[Any]) -> NDArray[np.int64]:
    """Return the indices of the pairs that stop their later hash, one a hash; mark the bits."""
    chosen = []
    last = -1
    for index, (here, there) in enumerate(zip(later, earlier, strict=True)):
        if here != last and not stopped[there >> 3] >> (there & 7) & 1:
            stopped[here >> 3] |= 1 << (here & 7)
            chosen.append(index)
            last = here
    return np.array(chosen, dtype=np.int64)
