"""Which text of a picture a sample shows: in turn, each as a sample of its own, or drawn.

Plain concatenation is BLIP's (Li et al. 2022, section 4.4, https://arxiv.org/abs/2201.12086);
drawing synthetic texts with a probability is Recap-DataComp's (Li et al. 2024, section 4,
https://arxiv.org/abs/2406.08478); keeping the best k is BLIP-2's practice (Li et al. 2023, section
3.4, https://arxiv.org/abs/2301.12597).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from curate.core.pairs import Pair
from curate.pretrain.sections import TextsConfig

SYNTHETIC = "synthetic"


class Sample(NamedTuple):
    """One sample of an epoch.

    Attributes:
        picture: number of the picture in the source.
        text: number of its text; None leaves that to the epoch.
    """

    picture: int
    text: int | None


def samples(
    pictures: Sequence[int], num_texts: Sequence[int] | None, config: TextsConfig
) -> list[Sample]:
    """Return an epoch's samples, in the order of the source.

    Args:
        pictures: numbers of the pictures.
        num_texts: texts of every picture of the source; needed to ``concatenate``.
        config: how texts are mixed.
    """
    if config.mixing != "concatenate":
        return [Sample(picture, None) for picture in pictures]
    assert num_texts is not None
    kept = [min(count, config.best or count) for count in num_texts]
    return [Sample(picture, text) for picture in pictures for text in range(kept[picture])]


def text_of(pair: Pair, sample: Sample, config: TextsConfig, *, epoch: int, seed: int) -> str:
    """Return the text a sample shows in an epoch; the same arguments give the same text."""
    kept = _kept(pair, config.best)
    if sample.text is not None:
        return pair.texts[kept[sample.text]]
    if config.mixing == "sample" and len(pair.sources) == len(pair.texts):
        kept = _drawn_origin(pair, kept, config.synthetic or 0.0, chance=f"{seed} {epoch}")
    return pair.texts[kept[(image_id(pair.uid) + epoch) % len(kept)]]


def image_id(uid: str) -> int:
    """Return a picture's number, the same for the same uid: 64 bits, signed."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "little", signed=True)


def _kept(pair: Pair, best: int | None) -> list[int]:
    """Return the numbers of the texts that are kept, in their order; unscored ones come last."""
    numbers = list(range(len(pair.texts)))
    if best is None or len(numbers) <= best:
        return numbers
    score = dict(zip(numbers, pair.scores, strict=True)) if pair.scores else {}
    by_score = sorted(
        numbers, key=lambda n: -(value if (value := score.get(n)) is not None else -2)
    )
    return sorted(by_score[:best])


def _drawn_origin(pair: Pair, kept: list[int], synthetic: float, *, chance: str) -> list[int]:
    """Return the kept texts of one origin, drawn for the picture."""
    made = [number for number in kept if pair.sources[number] == SYNTHETIC]
    given = [number for number in kept if pair.sources[number] != SYNTHETIC]
    if not made or not given:
        return kept
    digest = hashlib.sha256(f"{chance} {pair.uid}".encode()).digest()
    uniform = int.from_bytes(digest[:8], "little") / 2**64
    return made if uniform < synthetic else given
