"""Runs for tests of the index: made in a moment, with embeddings that are plain to see."""

from __future__ import annotations

import numpy as np

from curate.core.columns import IMAGE, URL, WIDTH, embedding
from curate.core.location import StorePath
from curate.core.table import CommittedTable
from curate.stages.scorers.med import Config
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg
from tests.stages.partition_tables import partition_table

#: The scorer of ``embedded``.
SCORER = Config(**{"as": "filter", "embed": True, "canaries": 0.0})
EVIL = "<script>alert('x')</script>"
EXTRA = [URL, WIDTH, IMAGE, embedding("x_embed", 4)]
#: Unit vectors in the order of the rows; the last row has none.
VECTORS = [[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 1, 0, 0], None]


def row(
    place: int, *texts: Text, width: int | None = None, vector: list[float] | None = None
) -> Row:
    """Return a row with a picture of its own."""
    extra = {
        "url": f"http://host{place % 2}.test/{place}.jpg",
        "width": 100 + place if width is None else width,
        "image": jpeg(place),
        "x_embed": None if vector is None else np.array(vector, np.float16),
    }
    return Row(texts, extra=extra)


PARTITIONS = [
    [
        row(0, Text("A red dog.", 0.9), Text("dogs run", 0.2, "synthetic"), vector=VECTORS[0]),
        row(1, Text(f"{EVIL} dog", 0.4), vector=VECTORS[1]),
    ],
    [],
    [
        row(2, Text("a cat", None, reason="too_short"), Text("Ein Café", 0.6), vector=VECTORS[2]),
        row(3, Text("the red house of a dog", 0.5)),
        row(4),
    ],
]


def made(root: StorePath, fingerprint: str = "one") -> CommittedTable:
    """Commit three partitions: five rows with six texts, one partition empty."""
    return commit_table(root, PARTITIONS, extra=EXTRA, fingerprint=fingerprint)


def embedded(root: StorePath) -> CommittedTable:
    """Commit a partition whose embeddings curate-tiny has made: six rows with six texts."""
    rows = partition_table()
    stage = SCORER.build()
    with stage.ready():
        scored = stage(rows).rows
    width = SCORER.embed_width
    assert width is not None
    entries = [
        Row(
            [Text(text) for text in row["texts"]],
            extra={
                "image": row["image"],
                "url": f"http://x.test/{place}",
                "filter_embed": np.array(row["filter_embed"], np.float16),
            },
        )
        for place, row in enumerate(scored.to_pylist())
    ]
    facts = {"stages": [{"name": "filter", "stage": "scorers/med", **SCORER.identity()}]}
    extra = [URL, IMAGE, embedding("filter_embed", width)]
    return commit_table(root, [entries], extra=extra, facts=facts)
