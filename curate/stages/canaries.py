"""Canaries: planted mismatches that tell what a scorer makes of texts that are wrong for certain.

In every partition a few images are also scored with a text that belongs to another image. Their
scores are kept apart, on the user's own data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from curate.core import columns
from curate.stages.modelling import lists


@dataclass(frozen=True, slots=True)
class Canary:
    """An image and a text of another image.

    Attributes:
        place: the image's row in the partition's table.
        text_place: the row the text belongs to.
        text: the text.
    """

    place: int
    text_place: int
    text: str


def plant(rows: pa.Table, fraction: float) -> list[Canary]:
    """Choose a partition's canaries: the same ones whatever the order of its rows.

    An image is chosen when a hash of its uid falls below ``fraction``; where that chooses none,
    the image with the lowest hash is. Its canary text is an eligible web or human text of another
    image: images with such texts stand in a circle ordered by hashes of their uids, the search
    starts at a place hashed from the chosen image's uid, and the first text that differs from all
    of the image's own is taken. (A synthetic caption would test the captioner, not the filter.)

    Args:
        rows: with uid, texts, text_sources and text_reasons.
        fraction: share of the images, in [0, 1].

    Returns:
        In order of rows; empty where ``fraction`` is 0 or no image can have one.
    """
    if fraction <= 0:
        return []
    uids = rows["uid"].to_pylist()
    planter = _Planter(uids, _found_texts(rows), lists(rows, "texts"))
    draws = [_draw("canary", uid) for uid in uids]
    chosen = [place for place, draw in enumerate(draws) if draw < fraction]
    canaries = [canary for place in chosen if (canary := planter.plant(place))]
    if canaries:
        return canaries
    by_draw = sorted(range(len(uids)), key=lambda place: (draws[place], uids[place]))
    first = next((canary for place in by_draw if (canary := planter.plant(place))), None)
    return [first] if first else []


class _Planter:
    def __init__(
        self, uids: Sequence[str], found: Sequence[Sequence[str]], texts: Sequence[Sequence[str]]
    ) -> None:
        self._uids = uids
        self._found = found
        self._own = [{_plain(text) for text in own if text} for own in texts]
        with_texts = [place for place, some in enumerate(found) if some]
        self._circle = sorted(
            with_texts, key=lambda place: (_draw("text", uids[place]), uids[place])
        )

    def plant(self, place: int) -> Canary | None:
        """Return the canary of an image, or None where every text at hand is also its own."""
        circle = self._circle
        start = int(_draw("start", self._uids[place]) * len(circle))
        for other in (*circle[start:], *circle[:start]):
            if other == place:
                continue
            for text in self._found[other]:
                if _plain(text) not in self._own[place]:
                    return Canary(place, other, text)
        return None


def _found_texts(rows: pa.Table) -> list[list[str]]:
    """Return each row's eligible texts that were written by people."""
    every = [lists(rows, name) for name in ("texts", "text_sources", "text_reasons")]
    found = []
    for texts, sources, reasons in zip(*every, strict=True):
        judged = reasons + [None] * (len(texts) - len(reasons))
        found.append(
            [
                text
                for text, source, reason in zip(texts, sources, judged, strict=True)
                if text and reason is None and source != columns.SYNTHETIC
            ]
        )
    return found


def _plain(text: str) -> str:
    """Fold case and spaces: texts that differ in nothing else are the same."""
    return " ".join(text.casefold().split())


def _draw(*parts: str) -> float:
    """Return a number in [0, 1) hashed from strings."""
    digest = hashlib.blake2b("|".join(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
