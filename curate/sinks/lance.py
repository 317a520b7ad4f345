"""A LanceDB view of the finished table: search, filters and thumbnails without Parquet scans.

Parquet is the truth, Lance a view that can be rebuilt. The indexer packs about a hundred
partitions into one fragment and appends it. On start it reads which partitions the view holds, and
how many rows of each, so an append that a kill left unreported is never repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.core.atomic import read_json_if_there, remove, write_json
from curate.core.config import SinkConfig
from curate.core.errors import StoreError
from curate.core.failpoints import reach
from curate.core.lance_storage import lance_address, lance_errors, table_names
from curate.core.stage import Progress, Sink
from curate.core.table import CommittedTable

TABLE_NAME = "table"
#: Says which table the view is of; without it there is none.
VIEW_FILE = "table.lance.json"


class Config(SinkConfig):
    """Settings of the LanceDB view.

    Attributes:
        batch: partitions an append; one append is one fragment.
    """

    batch: int = Field(100, ge=1, le=10_000)

    def build(self) -> LanceSink:
        """Build the sink."""
        return LanceSink(self)


class LanceSink(Sink):
    """Keeps ``table.lance`` in a run's folder up to date."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def index(self, table: CommittedTable, progress: Progress) -> Mapping[str, Any]:
        """Append the partitions the view does not hold yet; rebuild it when the table is another.

        Columns of scorers that were added to the run are added to the rows there are.

        Raises:
            StorageFull: no room left.
            StoreError: the view cannot be written, or its rows are not the table's afterwards.
        """
        with lance_errors(table.store.root / f"{TABLE_NAME}.lance"):
            return self._index(table, progress)

    def _index(self, table: CommittedTable, progress: Progress) -> Mapping[str, Any]:
        import lancedb

        root = table.store.root
        address, options = lance_address(root)
        database = lancedb.connect(address, storage_options=options or None)
        view_file = root / VIEW_FILE
        before = read_json_if_there(view_file)
        made_from = {"table": table.fingerprint, **table.added_facts(table.schema.names)}
        same = before is not None and before["table"] == table.fingerprint
        if not same:
            database.drop_table(TABLE_NAME, ignore_missing=True)
            reach("lance.dropped")
            remove(view_file)
        if TABLE_NAME in table_names(database):
            view = database.open_table(TABLE_NAME)
        else:
            view = database.create_table(TABLE_NAME, schema=_lance_schema(table.schema))
            reach("lance.created")
        if same and before != made_from:
            _exchange_added(view, table, before.get("added", {}))
            reach("lance.exchanged")
        if before != made_from:
            write_json(view_file, made_from)
        held = _rows_held(view)
        missing = [number for number, rows in table.num_rows().items() if held[number] < rows]
        for start in range(0, len(missing), self._config.batch):
            numbers = missing[start : start + self._config.batch]
            self._append(view, table, {number: held[number] for number in numbers})
            progress(min(start + self._config.batch, len(missing)), len(missing))
        if missing:
            reach("lance.optimizing")
            view.optimize(cleanup_older_than=timedelta(days=1))
            reach("lance.optimized")
        return self._check(view, table, len(missing))

    @staticmethod
    def _append(view: Any, table: CommittedTable, held: Mapping[int, int]) -> None:
        """Append the rows of some partitions, but for those that the view holds."""
        schema = view.schema
        parts = []
        for number, count in held.items():
            rows = table.rows(number, schema.names).select(schema.names)
            if count:  # supplements came after the partition was indexed
                found = view.to_lance().to_table(columns=["row"], filter=f"partition = {number}")
                known = pc.is_in(rows["row"], found["row"].combine_chunks())
                rows = rows.filter(pc.invert(known))
            parts.append(_plain(rows, schema))
        rows = pa.concat_tables(parts)
        if rows.num_rows:
            reach("lance.appending")
            view.add(rows)
            reach("lance.appended")

    @staticmethod
    def _check(view: Any, table: CommittedTable, appended: int) -> Mapping[str, Any]:
        rows = view.count_rows()
        expected = sum(table.num_rows().values())
        if rows != expected:
            raise StoreError(
                f"the LanceDB view has {rows} rows and the table {expected}: remove "
                f"{table.store.root / (TABLE_NAME + '.lance')} and run again to rebuild it"
            )
        return {"rows": rows, "appended_partitions": appended}


def _exchange_added(view: Any, table: CommittedTable, had: Mapping[str, Any]) -> None:
    """Give the view the columns of added scorers as they are now; nothing else is rewritten."""
    import lance

    now = table.added_extent(table.schema.names)
    there = [name for name in view.schema.names if name in now or name not in table.schema.names]
    stale = [name for name in there if had.get(name) != now.get(name)]
    if stale:
        view.drop_columns(stale)
    due = [name for name in now if name not in there or name in stale]
    if not due:
        return
    fields = _lance_schema(pa.schema([table.schema.field(name) for name in due]))

    joined = lance.batch_udf(output_schema=fields)(lambda batch: _columns_of(table, batch, fields))
    view.to_lance().add_columns(joined, read_columns=["partition", "row"])
    view.checkout_latest()


def _columns_of(table: CommittedTable, keys: pa.RecordBatch, fields: pa.Schema) -> pa.RecordBatch:
    """Return columns of the table for rows in any order, a partition at a time."""
    partitions, wanted = keys["partition"].to_numpy(), keys["row"].to_numpy()
    order: list[np.ndarray] = []
    parts = []
    for number in np.unique(partitions):
        places = np.flatnonzero(partitions == number)
        rows = table.rows(int(number), fields.names)
        found = np.searchsorted(rows["row"].to_numpy(), wanted[places])
        parts.append(_plain(rows.take(pa.array(found)).select(fields.names), fields))
        order.append(places)
    if not parts:
        return pa.RecordBatch.from_pylist([], schema=fields)
    back = np.argsort(np.concatenate(order))
    joined = pa.concat_tables(parts).take(pa.array(back)).combine_chunks()
    return pa.RecordBatch.from_arrays(
        [column.combine_chunks() for column in joined.columns], schema=fields
    )


def _rows_held(view: Any) -> Counter[int]:
    """Rows of each partition in the view, from one narrow column, batch by batch."""
    held: Counter[int] = Counter()
    for batch in view.to_lance().to_batches(columns=["partition"]):
        for counted in pc.value_counts(batch["partition"]).to_pylist():
            held[counted["values"]] += counted["counts"]
    return held


def _lance_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema without nullability and metadata, which the view does not need."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def _plain(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays(rows.columns, schema=schema)
