"""Which columns of a run the index holds, of which kind, and under which name.

A row of the index is a pair: an image and one of its texts. What is of the image is repeated with
each of its texts. Lists of strings are joined; binary and nested columns stay out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core import columns as run_columns
from curate.core.table import FLAT_NAMES, CommittedTable, flatten_texts

ColumnKind = Literal["number", "flag", "text"]

#: The column of a table of embeddings that holds them.
VECTOR = "vector"
_FLAT_NUMBERS = ("partition", "row", "text_index")
#: Names of the flat view, and of the column of marks.
_TAKEN = (*FLAT_NAMES, "mark")
_TEXT_LISTS = tuple(field.name for field in run_columns.TEXT_FIELDS)
#: Names that Lance takes; it refuses a dot, and a list may bring any name.
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the index.

    Attributes:
        name: as people see it; a column of the rows whose name the flat view has taken
            (``source``, say) is ``row.source``.
        stored: its name in the index.
        kind: how it is compared.
        field: the run's column; None for those of the flat view.
        is_score: whether it holds a scorer's numbers.
    """

    name: str
    stored: str
    kind: ColumnKind
    field: str | None = None
    is_score: bool = False


@dataclass(frozen=True)
class Layout:
    """What the index of a table holds.

    Attributes:
        columns: the flat view's first, then the run's in its order.
        embeddings: columns of image embeddings.
        left_out: columns that cannot be compared.
    """

    columns: tuple[Column, ...]
    embeddings: tuple[str, ...]
    left_out: tuple[str, ...]


def layout(table: CommittedTable) -> Layout:
    """Return what the index of a table holds."""
    found = [
        Column(name, name, "number" if name in _FLAT_NUMBERS else "text") for name in FLAT_NAMES
    ]
    embeddings, left_out = [], []
    for field in table.schema:
        if field.name in (*run_columns.KEYS, "uid", *_TEXT_LISTS):
            continue
        taken = field.name in _TAKEN
        kind = _kind(field)
        if is_embedding(field):
            embeddings.append(field.name)
        elif kind is None or (taken and run_columns.is_parallel(field)):
            left_out.append(field.name)
        else:
            plain = _PLAIN_NAME.fullmatch(field.name) is not None and not taken
            stored = field.name if plain else f"column_{len(found)}_"
            name = f"row.{field.name}" if taken else field.name
            score = run_columns.is_score(field)
            found.append(Column(name, stored, kind, field.name, score))
    return Layout(tuple(found), tuple(embeddings), tuple(left_out))


def read_pairs(
    table: CommittedTable, number: int, wanted: Layout
) -> tuple[pa.Table, dict[str, pa.Table]]:
    """Read a partition as the index holds it.

    Returns:
        The pairs, one row a text in source order, by their stored names; and for each column of
        embeddings the images that have one, with ``partition``, ``row`` and ``vector``.
    """
    fields = [column.field for column in wanted.columns if column.field is not None]
    rows = table.rows(number, ["uid", *_TEXT_LISTS, *fields, *wanted.embeddings])
    parallel = [name for name in fields if run_columns.is_parallel(rows.schema.field(name))]
    flat = flatten_texts(rows, parallel)
    lengths = run_columns.list_lengths(rows["texts"])
    parent = pa.array(np.repeat(np.arange(len(lengths)), lengths))
    arrays = []
    for column in wanted.columns:
        if column.field is None or column.field in parallel:
            values = flat[column.field or column.name]
        else:
            values = rows[column.field].take(parent)
        arrays.append(_comparable(values))
    pairs = pa.table(arrays, names=[column.stored for column in wanted.columns])
    return pairs, {name: _vectors(rows, name) for name in wanted.embeddings}


def is_embedding(field: pa.Field) -> bool:
    """Whether a column holds image embeddings: ``NAME_embed``, numbers of one width."""
    if not (field.name.endswith("_embed") and pa.types.is_fixed_size_list(field.type)):
        return False
    return bool(pa.types.is_floating(field.type.value_type))


def _kind(field: pa.Field) -> ColumnKind | None:
    kind = field.type.value_type if run_columns.is_parallel(field) else field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if _is_string(kind) or pa.types.is_temporal(kind):
        return "text"
    if pa.types.is_list(kind) and _is_string(kind.value_type):
        return "text"
    return None


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _comparable(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers, flags or strings."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_decimal(kind):
        return values.cast(pa.float64())
    if pa.types.is_list(kind):
        return pc.binary_join(values.cast(pa.list_(pa.string())), ", ")
    if pa.types.is_temporal(kind) or pa.types.is_large_string(kind):
        return values.cast(pa.string())
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    return values


def _vectors(rows: pa.Table, name: str) -> pa.Table:
    there = rows.select([*run_columns.KEYS, name]).filter(pc.is_valid(rows[name]))
    kinds = [pa.int32(), pa.int32(), rows.schema.field(name).type]
    names = [*run_columns.KEYS, VECTOR]
    fields = [pa.field(one, kind) for one, kind in zip(names, kinds, strict=True)]
    return pa.Table.from_arrays(there.columns, schema=pa.schema(fields))
