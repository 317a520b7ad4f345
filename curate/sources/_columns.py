"""From a list's own columns to a source's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from curate.core.columns import list_lengths
from curate.core.errors import SourceError, nearest
from curate.core.stage import Mapped
from curate.sources._rows import (
    NO_URL,
    NOT_UTF8,
    bad_utf8,
    kept_texts,
    text_columns,
    uid,
)
from curate.sources._spool import MARK, spooled_name


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a list that are read, with the types the extras are given.

    Attributes:
        url: name of the column.
        texts: names of the text columns, in order.
        extras: further columns of the list and the type each is carried with.
    """

    url: str
    texts: tuple[str, ...]
    extras: Mapping[str, pa.DataType]

    def present(self, schema: pa.Schema) -> list[str]:
        """Return the columns that a file has, as they are named there."""
        extras = [name for name in self.extras if name in schema.names]
        return list(dict.fromkeys([self.url, *self.texts, *extras]))


def require(names: Iterable[str], wanted: Iterable[str], location: str) -> None:
    """Check that a file has the columns.

    Raises:
        SourceError: one is missing, or is there twice.
    """
    have = list(names)
    for name in wanted:
        if name not in have:
            same = [other for other in have if other.casefold() == name.casefold()]
            hint = f"did you mean {same[0]!r}?" if same else nearest(name, have)
            raise SourceError(f"{location} has no column {name!r}: {hint}")
        if have.count(name) > 1:
            raise SourceError(f"{location} has {have.count(name)} columns {name!r}: rename one")


def require_types(schema: pa.Schema, wanted: Columns, location: str) -> None:
    """Check that URLs and texts are of types that can hold them.

    Raises:
        SourceError: another type.
    """
    for name in (wanted.url, *wanted.texts):
        kind = schema.field(name).type
        inner = kind.value_type if name in wanted.texts and is_list(kind) else kind
        if not is_texty(inner):
            due = "strings" if name == wanted.url else "strings or lists of strings"
            raise SourceError(f"{location}: column {name!r} holds {kind}, {due} are due")


def plain_type(kind: pa.DataType, *, named: bool) -> pa.DataType | None:
    """Return the type an extra column is carried with, None for what is not carried.

    Args:
        kind: type in the list.
        named: whether the recipe names the column; binary is carried only then.
    """
    if pat.is_dictionary(kind):
        return plain_type(kind.value_type, named=named)
    if pat.is_null(kind) or _is_string(kind):
        return pa.string()
    if _is_binary(kind):
        return pa.binary() if named else None
    plain = pat.is_primitive(kind) or pat.is_boolean(kind) or pat.is_decimal(kind)
    return kind if plain else None


def is_spool(schema: pa.Schema) -> bool:
    """Whether a file is a spooled text list."""
    return (schema.metadata or {}).items() >= MARK.items()


def read_rows(
    table: pa.Table,
    wanted: Columns,
    schema: pa.Schema,
    *,
    text_source: str,
    location: str,
    no_place: str = NO_URL,
) -> Mapped:
    """Return a range of a list as rows.

    Args:
        table: the range, of a list or of its spool.
        wanted: what is read.
        schema: of the rows; its second field is the row's place, a URL or a path.
        text_source: where the texts came from.
        location: the file, for messages.
        no_place: the reason of a row without a place.

    Raises:
        SourceError: an extra column cannot be given the first file's type.
    """
    bad: dict[int, tuple[str, str | None]] = {}
    if is_spool(table.schema):
        urls, texts = table["url"].to_pylist(), table["texts"].to_pylist()
        given = zip(table["reason"].to_pylist(), table["detail"].to_pylist(), strict=True)
        bad = {i: (reason, detail) for i, (reason, detail) in enumerate(given) if reason}
    else:
        urls = _strings(table[wanted.url], wanted.url, bad)
        texts = _texts(table, wanted.texts, bad)
    for i, url in enumerate(urls):
        if url is None or not url.strip():
            bad.setdefault(i, (no_place, None))
    extras = [_extra(table, name, kind, location, bad) for name, kind in wanted.extras.items()]
    columns = [
        pa.array([uid(u, t) for u, t in zip(urls, texts, strict=True)], pa.string()),
        pa.array(urls, pa.string()),
        *text_columns(texts, text_source),
        *extras,
    ]
    reasons = [bad.get(i, (None, None)) for i in range(table.num_rows)]
    return Mapped(
        pa.Table.from_arrays(columns, schema=schema),
        pa.array([reason for reason, _ in reasons], pa.string()),
        pa.array([detail for _, detail in reasons], pa.string()),
    )


_Bad = dict[int, tuple[str, str | None]]


def _strings(column: pa.ChunkedArray, name: str, bad: _Bad) -> list[str | None]:
    """Return a column's strings; rows that are not UTF-8 become null and are noted in ``bad``."""
    if pat.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pat.is_null(column.type):
        return [None] * len(column)
    if _is_string(column.type) and _valid(column):
        return list(column.to_pylist())
    values: list[str | None] = []
    for i, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
        try:
            values.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError as error:
            values.append(None)
            bad.setdefault(i, (NOT_UTF8, bad_utf8(error, name)))
    return values


def _texts(table: pa.Table, names: tuple[str, ...], bad: _Bad) -> list[list[str]]:
    rows: list[list[str]] = [[] for _ in range(table.num_rows)]
    for name in names:
        column = table[name]
        if is_list(column.type):
            lengths = list_lengths(column)
            owner = np.repeat(np.arange(len(lengths)), lengths)
            inner: _Bad = {}
            flat = _strings(_chunked(pc.list_flatten(column)), name, inner)
            for i, text in enumerate(flat):
                rows[owner[i]] += kept_texts([text])
            for i, fault in inner.items():
                bad.setdefault(int(owner[i]), fault)
        else:
            for i, text in enumerate(_strings(column, name, bad)):
                rows[i] += kept_texts([text])
    return rows


def _extra(
    table: pa.Table, name: str, kind: pa.DataType, location: str, bad: _Bad
) -> pa.Array | pa.ChunkedArray:
    if is_spool(table.schema):
        return table[spooled_name(name)]
    if name not in table.column_names:
        return pa.nulls(table.num_rows, kind)
    column = table[name]
    if pat.is_string(kind) and (is_texty(column.type) or pat.is_null(column.type)):
        return pa.array(_strings(column, name, bad), kind)
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise SourceError(
            f"{location}: column {name!r} holds {column.type}, the first file's holds {kind}: "
            f"{error}. Convert it, or leave it out by naming the others in extra"
        ) from error


def _valid(column: pa.ChunkedArray) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _chunked(values: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _is_string(kind: pa.DataType) -> bool:
    return bool(pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pat.is_binary(kind) or pat.is_large_binary(kind) or pat.is_binary_view(kind))


def is_texty(kind: pa.DataType) -> bool:
    """Whether a column holds strings, as text, as bytes or by a dictionary."""
    if pat.is_dictionary(kind):
        kind = kind.value_type
    return _is_string(kind) or _is_binary(kind) or pat.is_null(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    return bool(pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind))
