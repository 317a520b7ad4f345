"""What a selection says of every pair of an index."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.atomic import read_parquet_if_there, write_parquet
from curate.core.errors import StoreError
from curate.core.selection import Selection, list_selections
from curate.core.stage import Progress
from curate.core.table import CommittedTable
from curate.inspection.index.filters import Coded, coded
from curate.inspection.index.pair_index import PairIndex

#: The label of texts that a selection keeps; the others are reasons.
SELECTED = "selected"


def current_selections(table: CommittedTable) -> dict[str, Selection]:
    """Return the selections that were decided on the table as it is, by name."""
    found = {name: Selection.open(table.store.root, name) for name in list_selections(table.store)}
    return {name: selection for name, selection in found.items() if selection.is_of(table)}


def decisions(
    table: CommittedTable,
    selection: Selection,
    index: PairIndex,
    progress: Progress | None = None,
) -> Coded:
    """Read a selection's decisions in the order of the index; kept beside it for the next time.

    Args:
        table: the run's.
        selection: decided on the table as it is.
        index: of the same table.
        progress: called with the partitions that are read and all of them.

    Raises:
        StoreError: the decisions are not those of the pairs in the index.
    """
    kept = index.place / "decisions" / f"{selection.facts['decisions']}.parquet"
    found = read_parquet_if_there(kept, remove=kept)
    if found is None or found.num_rows != len(index):
        found = _read(table, selection, index, progress or (lambda done, total: None))
        write_parquet(kept, found)
    rejected = found["rejected"]
    labels = (*sorted(pc.unique(rejected.drop_null()).to_pylist()), SELECTED)
    return coded(pc.fill_null(rejected, SELECTED), labels)


def _read(
    table: CommittedTable, selection: Selection, index: PairIndex, progress: Progress
) -> pa.Table:
    parts = {}
    for done, number in enumerate(table.partitions):
        progress(done, len(table.partitions))
        parts[number] = selection.decisions(number)["rejected"]
    numbers = _partitions_in_order(index)
    columns = [parts[number] for number in numbers]
    chunks = [chunk for column in columns for chunk in column.chunks]
    rejected = pa.chunked_array(chunks, pa.string())
    if len(rejected) != len(index):
        raise StoreError(
            f"the selection {selection.name!r} decides {len(rejected)} texts and the index has "
            f"{len(index)}: remove {index.place}, and it is built again"
        )
    return pa.table({"rejected": rejected})


def _partitions_in_order(index: PairIndex) -> list[int]:
    """Return the partitions with pairs in the order in which the index holds them."""
    partitions = index.numbers("partition").values
    if not len(partitions):
        return []
    first = np.flatnonzero(np.concatenate([[True], partitions[1:] != partitions[:-1]]))
    return [int(number) for number in partitions[first]]
