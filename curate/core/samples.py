"""A selection as samples: a picture with the texts a trainer is given, in source order.

A place in this order is a ``Position``, so that whoever stopped goes on behind it without reading
what came before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.core.config import FrozenConfig
from curate.core.selection import Selection
from curate.core.table import CommittedTable

#: Columns of a row that go with its picture, where the table has them.
FACTS = (
    *("uid", "url", "path", "width", "height", "original_width", "original_height"),
    *("sha256", "source_uid", "source_key"),
)


class TextsConfig(FrozenConfig):
    """Which of an image's selected texts are handed on, and how much each counts.

    Attributes:
        texts: which of an image's selected texts are handed on: ``all``, the ``best`` by the
            scores ``best_by``, or a ``sample`` of one, drawn by ``weights``, ``seed`` and the
            image's uid, so that the same texts are drawn wherever and whenever.
        best_by: score column, higher is better; with ``texts: best``. Of equal scores the first
            text is taken.
        weights: how much a text counts beside its image's other texts, by where it came from
            (``{web: 0.4, synthetic: 0.6}``); 1 for a source not named. Texts of weight 0 are
            never drawn.
        seed: of the draw; with ``texts: sample``.
    """

    knows_weights: ClassVar[bool] = True

    texts: Literal["all", "best", "sample"] = "all"
    best_by: str | None = Field(None, min_length=1)
    weights: dict[Literal["web", "synthetic", "human"], float] = Field(default_factory=dict)
    seed: int = Field(0, ge=0, le=2**63 - 1)

    @model_validator(mode="after")
    def _of_one_mind(self) -> TextsConfig:
        if (self.texts == "best") != (self.best_by is not None):
            raise ValueError("best_by goes with texts: best: give both or neither")
        if self.texts != "sample" and self.seed:
            raise ValueError(f"seed without texts: sample changes nothing (texts: {self.texts})")
        if self.weights and (
            self.texts == "best" or (self.texts == "all" and not self.knows_weights)
        ):
            raise ValueError(
                f"weights with texts: {self.texts} change nothing here: "
                "take texts: sample, which draws by them"
            )
        if any(not 0 <= weight < float("inf") for weight in self.weights.values()):
            raise ValueError("weights are numbers of at least 0")
        return self


class Position(NamedTuple):
    """A place in a selection's samples.

    Attributes:
        partition: index among the table's finished partitions.
        sample: number of the sample in it.
    """

    partition: int
    sample: int


@dataclass(frozen=True, slots=True)
class Caption:
    """A selected text.

    Attributes:
        text: the text.
        source: ``web``, ``synthetic`` or ``human``.
        model: what wrote it, or None.
        index: its place among all texts of its row.
        weight: its share among the texts handed on with its image; they sum to 1.
        scores: by column; None where not scored.
    """

    text: str
    source: str
    model: str | None
    index: int
    weight: float
    scores: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a trainer reads at once.

    Attributes:
        key: unique in the export, the same in every export of the run.
        uid: the row's.
        image: encoded bytes; empty where pictures are not read.
        facts: further columns of the row.
        captions: at least one; the first is the one that formats with a single text hand on.
    """

    key: str
    uid: str
    image: bytes
    captions: Sequence[Caption]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """Ending of the picture's file name, by its first bytes."""
        return next((s for magic, s in _SUFFIXES.items() if self.image.startswith(magic)), "img")

    @property
    def payload(self) -> int:
        """Bytes of the picture and the texts."""
        return len(self.image) + sum(len(one.text.encode()) for one in self.captions)


_SUFFIXES = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp"}


@dataclass(frozen=True)
class Samples:
    """The samples of a selection.

    Attributes:
        table: the run's table.
        selection: one of its selections.
        config: which texts, and their weights.
        per: ``text`` for a sample for each text, ``image`` for a sample an image.
        images: whether pictures are read.
        salt: makes another draw of ``texts: sample``, as an epoch does.
    """

    table: CommittedTable
    selection: Selection
    config: TextsConfig
    per: Literal["text", "image"]
    images: bool = True
    salt: str = ""

    def __len__(self) -> int:
        """Return how many samples there are, at most: images whose texts all weigh 0 have none."""
        if self.per == "text" and self.config.texts == "all":
            return self.selection.selected
        return int(self.selection.facts["rows_kept"])

    def after(self, start: Position) -> Iterator[tuple[Sample, Position]]:
        """Yield the samples from a place on, each with the place behind it.

        Raises:
            StoreError: the selection was decided on another table, or there is no column
                ``best_by``.
        """
        self.selection.check(self.table)
        if self.config.best_by is not None:
            self.table.check_names([self.config.best_by])
        for index in range(start.partition, len(self.table.partitions)):
            skip = start.sample if index == start.partition else 0
            for number, sample in enumerate(self.partition(self.table.partitions[index])):
                if number >= skip:
                    yield sample, Position(index, number + 1)

    def count(self, number: int) -> int:
        """Return how many samples a partition has."""
        if 0 in self.config.weights.values():
            return sum(1 for _ in replace(self, images=False).partition(number))
        decisions = self.selection.decisions(number)
        selected = decisions.filter(pc.is_null(decisions["rejected"]))
        if self.per == "text" and self.config.texts == "all":
            return int(selected.num_rows)
        return len(pc.unique(selected["row"]))

    def partition(self, number: int) -> Iterator[Sample]:
        """Yield a partition's samples, in order."""
        keep = pc.is_null(self.selection.decisions(number)["rejected"])
        texts = self.table.texts(number).filter(keep)
        by_row: dict[int, list[dict[str, Any]]] = {}
        for text in texts.to_pylist():
            by_row.setdefault(text["row"], []).append(text)
        if not by_row:
            return
        facts = [name for name in FACTS if name in self.table.schema.names]
        names = ["uid", *(["image"] if self.images else []), *facts]
        rows = self.table.rows(number, list(dict.fromkeys(names)))
        for row in rows.filter(pc.is_in(rows["row"], pc.unique(texts["row"]))).to_pylist():
            captions = self._captions(row["uid"], by_row[row["row"]])
            key = f"{number:08d}{row['row']:06d}"
            image = row.get("image") or b""
            own = {name: row[name] for name in facts if name != "uid"}
            if self.per == "image":
                if captions:
                    yield Sample(key, row["uid"], image, captions, own)
                continue
            for one in captions:
                yield Sample(f"{key}{one.index:03d}", row["uid"], image, [one], own)

    def _captions(self, uid: str, texts: Sequence[Mapping[str, Any]]) -> list[Caption]:
        """Return the texts that are handed on; their weights sum to 1."""
        wanted = [self.config.weights.get(text["source"], 1.0) for text in texts]
        chosen = list(range(len(texts)))
        if self.config.texts == "best":
            by = str(self.config.best_by)
            chosen = [max(chosen, key=lambda at: (_known(texts[at][by]), -at))]
            wanted = [1.0] * len(texts)
        elif self.config.texts == "sample":
            chosen = drawn(wanted, f"{self.config.seed}/{self.salt}{uid}")
            wanted = [1.0] * len(texts)
        total = sum(wanted[at] for at in chosen)
        return [
            Caption(
                text=texts[at]["text"],
                source=texts[at]["source"],
                model=texts[at]["model"],
                index=texts[at]["text_index"],
                weight=wanted[at] / total,
                scores={name: texts[at][name] for name in self.table.score_names},
            )
            for at in chosen
            if total > 0
        ]


def caption_facts(caption: Caption) -> dict[str, Any]:
    """Return all that is known of a text, as JSON values."""
    return {
        "text": caption.text,
        "source": caption.source,
        "model": caption.model,
        "text_index": caption.index,
        "weight": caption.weight,
        **caption.scores,
    }


def image_key(key: str) -> str:
    """Return the part of a sample's key that names its image."""
    return key[:14]


def drawn(weights: Sequence[float], key: str) -> list[int]:
    """Return the index that is drawn, in proportion to the weights; none if all weigh 0.

    Args:
        weights: at least 0.
        key: decides the draw; the same key draws the same.
    """
    point = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64
    point *= sum(weights)
    for index, weight in enumerate(weights):
        if point < weight:
            return [index]
        point -= weight
    positive = [index for index, weight in enumerate(weights) if weight > 0]
    return positive[-1:]  # the sum's rounding left the point behind the last


def _known(score: float | None) -> float:
    return float("-inf") if score is None else score
