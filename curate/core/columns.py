"""The columns of a row, as typed Arrow fields, and the laws of parallel lists.

One row per image. Texts and their scores are parallel lists: each exactly as long as ``texts``,
null where there is nothing to say. A field that is parallel to ``texts`` says so in its metadata,
so a table read back from a file knows which columns have to keep step.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PARALLEL = {b"curate.parallel": b"texts"}

PARTITION = pa.field("partition", pa.int32(), nullable=False)
ROW = pa.field("row", pa.int32(), nullable=False)
KEYS = ("partition", "row")

UID = pa.field("uid", pa.string(), nullable=False)
URL = pa.field("url", pa.string())
PATH = pa.field("path", pa.string())

IMAGE = pa.field("image", pa.binary())
WIDTH = pa.field("width", pa.int32())
HEIGHT = pa.field("height", pa.int32())
ORIGINAL_WIDTH = pa.field("original_width", pa.int32())
ORIGINAL_HEIGHT = pa.field("original_height", pa.int32())
SHA256 = pa.field("sha256", pa.string())
PHASH = pa.field("phash", pa.uint64())
HTTP_STATUS = pa.field("http_status", pa.int32())


def parallel(name: str, value: pa.DataType) -> pa.Field:
    """Return a list field that keeps step with ``texts``."""
    return pa.field(name, pa.list_(value), metadata=_PARALLEL)


TEXTS = parallel("texts", pa.string())
TEXT_SOURCES = parallel("text_sources", pa.string())
TEXT_MODELS = parallel("text_models", pa.string())
TEXT_REASONS = parallel("text_reasons", pa.string())
TEXT_FIELDS = (TEXTS, TEXT_SOURCES, TEXT_MODELS, TEXT_REASONS)

WEB, SYNTHETIC, HUMAN = "web", "synthetic", "human"
SOURCES = (WEB, SYNTHETIC, HUMAN)

STANDARD = {
    field.name: field
    for field in (
        *(PARTITION, ROW, UID, URL, PATH, IMAGE, WIDTH, HEIGHT, ORIGINAL_WIDTH, ORIGINAL_HEIGHT),
        *(SHA256, PHASH, HTTP_STATUS, *TEXT_FIELDS),
    )
}


def score(name: str) -> pa.Field:
    """Return the field of a scorer's numbers: list<float32>, parallel to ``texts``."""
    return parallel(name, pa.float32())


def embedding(name: str, width: int) -> pa.Field:
    """Return the field of an image embedding: unit norm, float16, ``width`` numbers a row."""
    return pa.field(name, pa.list_(pa.float16(), width))


def is_parallel(field: pa.Field) -> bool:
    """Whether the field keeps step with ``texts``."""
    return (field.metadata or {}).get(b"curate.parallel") == b"texts"


def is_score(field: pa.Field) -> bool:
    """Whether the field holds a scorer's numbers."""
    return is_parallel(field) and pa.types.is_floating(field.type.value_type)


def list_lengths(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return the length of every list, int64; a null list counts as empty."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)


def pad_parallel(rows: pa.Table, *, like: str = "texts") -> pa.Table:
    """Pad every parallel list with nulls to the length of ``texts``.

    A captioner lengthens ``texts``; columns scored before it are padded here, so that no reader
    ever sees lists out of step.

    Args:
        rows: with any of the parallel columns; without ``like`` nothing is padded.
        like: a column whose lists are as long as those of ``texts``.

    Raises:
        ValueError: a parallel list is longer than ``texts``.
    """
    if like not in rows.column_names:
        return rows
    wanted = list_lengths(rows[like])
    for index, field in enumerate(rows.schema):
        if not is_parallel(field) or field.name == like:
            continue
        column = rows[field.name].combine_chunks()
        have = list_lengths(column)
        if np.array_equal(have, wanted):
            continue
        if (have > wanted).any():
            row = int(np.argmax(have > wanted))
            raise ValueError(
                f"column {field.name!r} has {have[row]} entries in row {row} "
                f"and texts has {wanted[row]}: parallel lists must keep step"
            )
        rows = rows.set_column(index, field, _pad(column, have, wanted, field.type))
    return rows


def _pad(
    column: pa.Array | pa.ChunkedArray, have: np.ndarray, wanted: np.ndarray, kind: pa.DataType
) -> pa.Array:
    flat = pc.list_flatten(column)
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks()
    offsets = np.concatenate([[0], np.cumsum(wanted)]).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(have)])[:-1]
    position = np.arange(offsets[-1]) - np.repeat(offsets[:-1].astype(np.int64), wanted)
    source = np.repeat(starts, wanted) + position
    missing = position >= np.repeat(have, wanted)
    indices = pa.array(np.where(missing, 0, source), mask=missing, type=pa.int64())
    return pa.ListArray.from_arrays(pa.array(offsets), flat.take(indices)).cast(kind)


def check_fields(rows: pa.Table, fields: Iterable[pa.Field], *, writer: str) -> None:
    """Check that a stage wrote what it declared.

    Raises:
        TypeError: a declared column is missing or has another type.
    """
    for field in fields:
        if field.name not in rows.column_names:
            raise TypeError(f"{writer} declares the column {field.name!r} and did not write it")
        got = rows.schema.field(field.name).type
        if got != field.type:
            raise TypeError(f"{writer} wrote {field.name!r} as {got}, declared is {field.type}")


def declare(rows: pa.Table, fields: Iterable[pa.Field]) -> pa.Table:
    """Return the table with the given fields' metadata and nullability on their columns."""
    schema = rows.schema
    for field in fields:
        schema = schema.set(schema.get_field_index(field.name), field)
    return pa.Table.from_arrays(rows.columns, schema=schema)


def append_columns(
    rows: pa.Table, columns: dict[str, pa.Array], fields: Iterable[pa.Field]
) -> pa.Table:
    """Return the table with columns added, or replaced where the name is there already."""
    by_name = {field.name: field for field in fields}
    for name, values in columns.items():
        field = by_name[name]
        index = rows.schema.get_field_index(name)
        if index < 0:
            rows = rows.append_column(field, values)
        else:
            rows = rows.set_column(index, field, values)
    return rows
