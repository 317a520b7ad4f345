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
_VIEW_FILE = "table.lance.json"


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
        view_file = root / _VIEW_FILE
        before = read_json_if_there(view_file)
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
        if not same:
            write_json(view_file, {"table": table.fingerprint})
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
        schema = _lance_schema(table.schema)
        parts = []
        for number, count in held.items():
            rows = table.rows(number)
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
