"""Blanks forgotten rows in the copies of lists and the listings of folders that a run keeps.

They keep their places, for partitions are ranges of them. The lists themselves are not the run's
and are left alone; tombstones keep their rows out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.core.atomic import (
    child_names,
    parquet_source,
    read_bytes,
    read_json_if_there,
    write_json,
    write_whole,
)
from curate.core.location import StorePath
from curate.core.store import RunStore
from curate.core.tombstones import FOLDER, REASON, Tombstones
from curate.sources._columns import is_list, is_texty
from curate.sources._rows import uid
from curate.sources._spool import MARK

#: A listing's own hash of a path, by which it knows the picture again; no content.
_KEPT = ("key",)
_LOOKED_AT = "copies.json"


Mask = Callable[[pa.Table], np.ndarray]


def blank_sources(store: RunStore, words: Set[str], *, hosts: bool) -> int:
    """Blank the rows that hold a word; returns how many files were written. Safe to repeat.

    Args:
        store: the run's folder.
        words: uids, addresses and paths.
        hosts: whether hosts were asked for: they have rows that no step has read yet, which the
            tombstones know.
    """
    tombstones = Tombstones.load(store.root) if hosts else None
    values = pa.array([word.encode("utf-8", "replace") for word in words], pa.large_binary())

    def mask(table: pa.Table) -> np.ndarray:
        found = _unplaced(table, words.__contains__)
        for name in _texts(table):
            found |= np.asarray(pc.is_in(_bytes(table[name]), values))
        return found if tombstones is None else found | _named(table, tombstones)

    return sum(_blank(path, mask) for path in _copies(store.spool))


def blank_new_copies(store: RunStore) -> int:
    """Blank rows that tombstones name in copies that a grown list has brought since.

    Returns:
        How many files were written. Copies looked at once are not looked at again.
    """
    tombstones = Tombstones.load(store.root)
    if not tombstones:
        return 0
    note = store.root / FOLDER / _LOOKED_AT
    known = set(read_json_if_there(note) or ())
    new = [path for path in _copies(store.spool) if path.name not in known]
    written = sum(_blank(path, lambda table: _named(table, tombstones)) for path in new)
    if new:
        write_json(note, sorted({*known, *(path.name for path in new)}))
    return written


def _named(table: pa.Table, tombstones: Tombstones) -> np.ndarray:
    mask = _unplaced(table, tombstones.is_of)
    for name in _texts(table):
        values = (
            value and value.decode("utf-8", "replace") for value in _bytes(table[name]).to_pylist()
        )
        mask |= np.fromiter(map(tombstones.is_of, values), bool, table.num_rows)
    return mask


def _unplaced(table: pa.Table, is_gone: Callable[[str], bool]) -> np.ndarray:
    """Return which rows are gone of those of a text list that have no address, by their uids."""
    mask = np.zeros(table.num_rows, bool)
    if {"url", "texts"} <= set(table.column_names):
        for place in np.flatnonzero(np.asarray(pc.is_null(table["url"]))).tolist():
            mask[place] = is_gone(uid(None, table["texts"][place].as_py() or []))
    return mask


def _texts(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if is_texty(field.type)]


def _bytes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings of whatever type as bytes, of which some may be no UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.large_binary())


def _copies(folder: StorePath) -> Iterator[StorePath]:
    for name in child_names(folder):
        if name.endswith((".parquet", ".arrow")) and not name.startswith("."):
            yield folder / name


def _blank(path: StorePath, mask: Mask) -> int:
    return _blank_arrow(path, mask) if path.suffix == ".arrow" else _blank_parquet(path, mask)


def _blank_parquet(path: StorePath, mask: Mask) -> int:
    with parquet_source(path) as source, pq.ParquetFile(source) as file:
        groups = range(file.num_row_groups)
        if not any(mask(file.read_row_group(group)).any() for group in groups):
            return 0

        def write(out: IO[bytes]) -> None:
            with pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer:
                for group in groups:
                    table = file.read_row_group(group)
                    writer.write_table(_blanked(table, mask(table)))

        write_whole(path, write)
    return 1


def _blank_arrow(path: StorePath, mask: Mask) -> int:
    table = pa.ipc.open_file(pa.BufferReader(read_bytes(path))).read_all()
    gone = mask(table)
    if not gone.any():
        return 0

    def write(out: IO[bytes]) -> None:
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(_blanked(table, gone))

    write_whole(path, write)
    return 1


def _blanked(table: pa.Table, mask: np.ndarray) -> pa.Table:
    """Return a table with rows blanked; the copy of a text list says why."""
    if not mask.any():
        return table
    spooled = MARK.items() <= (table.schema.metadata or {}).items()
    for index, field in enumerate(table.schema):
        if field.name in _KEPT:
            continue
        empty = REASON if spooled and field.name == "reason" else _empty(field)
        values = table[field.name].to_pylist()
        blanked = [empty if gone else value for gone, value in zip(mask, values, strict=True)]
        table = table.set_column(index, field, pa.array(blanked, field.type))
    return table


def _empty(field: pa.Field) -> Any:
    if is_list(field.type) and not pa.types.is_fixed_size_list(field.type):
        return []
    if field.nullable:
        return None
    return "" if is_texty(field.type) else 0
