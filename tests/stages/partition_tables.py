"""Partitions of real pictures for tests of captioners and scorers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from curate.core import columns
from curate.images import encode
from tests.models.checkpoints import pictures

TEXTS: tuple[list[str], ...] = (
    ["a red dog on the grass"],
    ["two birds in the snow", "birds"],
    [],
    ["a small house under the old tree, with water beside"],
    ["DSC_0012.jpg"],
    ["three cats running"],
)


def partition_table(
    texts: Sequence[Sequence[str | None]] = TEXTS,
    *,
    source: str = columns.WEB,
    reasons: Sequence[Sequence[str | None]] | None = None,
    broken: Sequence[int] = (),
) -> pa.Table:
    """Return a partition with one picture a row; the bodies of ``broken`` rows are cut short."""
    bodies: list[bytes] = []
    for place, pixels in enumerate(pictures(len(texts))):
        body = encode(pixels, encode_format="png", encode_quality=1)
        bodies.append(body[: len(body) // 2] if place in broken else body)
    count = len(texts)
    data: dict[str, tuple[Any, pa.Field]] = {
        "partition": ([3] * count, columns.PARTITION),
        "row": (list(range(10, 10 + count)), columns.ROW),
        "uid": ([hashlib.md5(bytes([n])).hexdigest() for n in range(count)], columns.UID),
        "image": (bodies, columns.IMAGE),
        "texts": ([list(some) for some in texts], columns.TEXTS),
        "text_sources": ([[source] * len(some) for some in texts], columns.TEXT_SOURCES),
        "text_models": ([[None] * len(some) for some in texts], columns.TEXT_MODELS),
        "text_reasons": (reasons or [[None] * len(some) for some in texts], columns.TEXT_REASONS),
    }
    arrays = [pa.array(values, field.type) for values, field in data.values()]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field for _, field in data.values()]))


def by_uid(rows: pa.Table, name: str) -> dict[str, Any]:
    """Return a column's values by uid."""
    return dict(zip(rows["uid"].to_pylist(), rows[name].to_pylist(), strict=True))
