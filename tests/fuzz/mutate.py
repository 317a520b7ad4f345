"""Damage to bytes, by a seeded generator: the same number gives the same inputs everywhere."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

#: Values that sit on the edges of integer fields.
_EDGES = (0, 1, 0x7F, 0x80, 0xFF)

#: Inputs of each slow run.
COUNT = int(os.environ.get("CURATE_FUZZ_COUNT", "170000"))


def damaged(seeds: Sequence[bytes], count: int, *, seed: int) -> Iterator[bytes]:
    """Yield inputs made from good ones: bytes changed, cut out, doubled, swapped between them.

    Args:
        seeds: good inputs.
        count: of inputs.
        seed: of the generator.
    """
    chance = random.Random(seed)
    for _ in range(count):
        body = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            _damage(body, chance, seeds)
        yield bytes(body)


def _damage(body: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    # Headers are where parsers live: every second time the damage is near the beginning.
    reach = len(body) if chance.random() < 0.5 else min(len(body), 64)
    at = chance.randrange(reach + 1)
    length = chance.choice((1, 1, 2, 4, 4, 8, 32, 256))
    kind = chance.randrange(6)
    if kind == 0:
        body[at : at + 1] = bytes([chance.randrange(256)])
    elif kind == 1:
        body[at : at + length] = bytes([chance.choice(_EDGES)]) * length
    elif kind == 2:
        del body[at : at + length]
    elif kind == 3:
        body[at:at] = body[at : at + length]
    elif kind == 4:
        other = chance.choice(seeds)
        start = chance.randrange(len(other) + 1)
        body[at : at + length] = other[start : start + length]
    else:
        del body[at:]
