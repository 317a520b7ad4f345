"""Samples as rows of a table: columns that the table formats share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa

from curate.core.samples import FACTS, Sample, Samples
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._samples import SampleConfig


class RecordConfig(SampleConfig):
    """Options of formats with a row a sample.

    Attributes:
        per: ``text`` writes a row for each text; ``image`` a row an image, its first text in
            ``caption`` and all of them, with scores and weights, in parallel lists.
    """

    per: Literal["text", "image"] = "text"


class RecordSamples:
    """The samples of a selection and the columns they have as rows.

    Args:
        table: the run's table.
        selection: one of its selections.
        config: which texts, a row each or a row an image.
        images: whether pictures are read.
    """

    def __init__(
        self,
        table: CommittedTable,
        selection: Selection,
        config: RecordConfig,
        *,
        images: bool = True,
    ) -> None:
        self.samples = Samples(table, selection, config, config.per, images)
        self.facts = [table.schema.field(name) for name in FACTS if name in table.schema.names]
        self.scores = list(table.score_names)
        self._per = config.per

    @property
    def fields(self) -> list[pa.Field]:
        """The columns without the picture: key, what is known of the row, caption, texts."""
        own = [pa.field(field.name, field.type) for field in self.facts if field.name != "uid"]
        return [
            pa.field("key", pa.string()),
            pa.field("uid", pa.string()),
            pa.field("caption", pa.string()),
            *own,
            *(_text_fields(self.scores) if self._per == "text" else _list_fields(self.scores)),
        ]

    def record(self, sample: Sample) -> dict[str, Any]:
        """Return a sample's values by column."""
        first = sample.captions[0]
        row = {"key": sample.key, "uid": sample.uid, "caption": first.text, **sample.facts}
        if self._per == "text":
            own = {"caption_source": first.source, "caption_model": first.model}
            return {**row, **own, "weight": first.weight, **first.scores}
        every = sample.captions
        return {
            **row,
            "texts": [one.text for one in every],
            "text_sources": [one.source for one in every],
            "text_models": [one.model for one in every],
            "weights": [one.weight for one in every],
            **{name: [one.scores[name] for one in every] for name in self.scores},
        }


def _text_fields(scores: Iterable[str]) -> list[pa.Field]:
    return [
        pa.field("caption_source", pa.string()),
        pa.field("caption_model", pa.string()),
        pa.field("weight", pa.float64()),
        *(pa.field(name, pa.float32()) for name in scores),
    ]


def _list_fields(scores: Iterable[str]) -> list[pa.Field]:
    return [
        pa.field("texts", pa.list_(pa.string())),
        pa.field("text_sources", pa.list_(pa.string())),
        pa.field("text_models", pa.list_(pa.string())),
        pa.field("weights", pa.list_(pa.float64())),
        *(pa.field(name, pa.list_(pa.float32())) for name in scores),
    ]
