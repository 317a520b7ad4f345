"""Building the index and keeping it up to date: a LanceDB folder beside the run's tables.

Parquet is the truth and the index can be removed at any time. It is named by what the table is
made of, so another recipe gets another one; what the run has committed since the last time is
added. ``index.json``, written after every batch, says which partitions are in; what a kill left
beyond it is taken out before it is added again. One process at a time builds; readers go on with
the version they have opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.core.atomic import (
    child_names,
    read_json_if_there,
    remove_tree,
    storage_errors,
    write_json,
)
from curate.core.errors import StoreError
from curate.core.lance_storage import lance_errors, table_names
from curate.core.location import StorePath
from curate.core.plan_codec import schema_text
from curate.core.scratch import kept_beside
from curate.core.stage import Progress
from curate.core.table import CommittedTable
from curate.inspection.index.columns import VECTOR, Layout, layout, read_pairs

PAIRS = "pairs"
STATE_FILE = "index.json"
#: Raise it when what is in an index changes.
_VERSION = 1
#: Partitions that are added in one go.
_BATCH = 50
#: Embeddings from which on an approximate index is made; fewer are compared one by one.
_MANY = 20_000
#: Distinct values of a column of words up to which they are offered as a choice.
_FEW_VALUES = 100


def index_folder(root: StorePath) -> Path:
    """Return where a run's indices are: ``view`` in its folder, for an object store a cache."""
    return kept_beside(root / "view")


def vectors_name(place: int) -> str:
    """Return the name of the table that holds a column of embeddings, by its place."""
    return f"vectors_{place}"


@contextlib.contextmanager
def up_to_date(
    table: CommittedTable, folder: Path | None = None, progress: Progress | None = None
) -> Iterator[Path]:
    """Build a run's index, or add to it what the run has committed since; nobody else does so then.

    Args:
        table: the run's.
        folder: where indices are kept, of several runs if need be; beside the run when not given.
        progress: called with finished and all partitions while there are some to add.

    Yields:
        The folder of the index, which stays as it is while the block runs.

    Raises:
        StorageFull: no room left.
        StoreError: the folder cannot be written, or the index lacks pairs afterwards.
    """
    base = index_folder(table.store.root) if folder is None else folder
    wanted = layout(table)
    name = _name(table)
    place = base / name
    with _building(base):
        with lance_errors(place):
            _Builder(table, wanted, place).run(progress or (lambda done, total: None))
            for other in child_names(base):
                if other != name and _is_of(base / other, table):  # of an earlier recipe
                    remove_tree(base / other)
        yield place


def bring_up_to_date(
    table: CommittedTable, folder: Path | None = None, progress: Progress | None = None
) -> Path:
    """Do what ``up_to_date`` does, and return the folder; others may add to it from then on.

    Raises:
        StorageFull, StoreError: as there.
    """
    with up_to_date(table, folder, progress) as place:
        return place


def _is_of(place: Path, table: CommittedTable) -> bool:
    """Whether a folder is an index of this run."""
    state = read_json_if_there(place / STATE_FILE) if place.is_dir() else None
    return state is not None and state.get("run") == _run(table)


def _run(table: CommittedTable) -> str:
    root = table.store.root
    return str(root.absolute() if isinstance(root, Path) else root)


def _name(table: CommittedTable) -> str:
    added = table.added_extent(table.schema.names)
    made_from = [_VERSION, table.fingerprint, schema_text(table.schema), added]
    return hashlib.blake2b(json.dumps(made_from).encode(), digest_size=8).hexdigest()


class _Builder:
    def __init__(self, table: CommittedTable, wanted: Layout, place: Path) -> None:
        self._table = table
        self._layout = wanted
        self._place = place
        self._names = [PAIRS, *(vectors_name(i) for i in range(len(wanted.embeddings)))]

    def run(self, progress: Progress) -> None:
        state = read_json_if_there(self._place / STATE_FILE) or {"held": {}, "finished": False}
        held = {int(number): count for number, count in state["held"].items()}
        commits = self._table.commits
        missing = [number for number, count in commits.items() if held.get(number) != count]
        if not missing and state["finished"]:
            return
        import lancedb

        database = lancedb.connect(str(self._place))
        for start in range(0, len(missing), _BATCH):
            progress(start, len(missing))
            numbers = missing[start : start + _BATCH]
            self._add(database, numbers)
            held.update({number: commits[number] for number in numbers})
            self._write_state(held, finished=False)
        if set(self._names) <= set(table_names(database)):
            self._finish(database)
        self._write_state(held, finished=True, values=self._values(database))
        progress(len(missing), len(missing))

    def _add(self, database: Any, numbers: Sequence[int]) -> None:
        read = [read_pairs(self._table, number, self._layout) for number in numbers]
        parts = {PAIRS: pa.concat_tables([pairs for pairs, _ in read])}
        for place, name in enumerate(self._layout.embeddings):
            parts[vectors_name(place)] = pa.concat_tables([found[name] for _, found in read])
        there = table_names(database)
        for name, part in parts.items():
            if name not in there:
                database.create_table(name, schema=part.schema)
            view = database.open_table(name)
            view.delete(f"partition IN ({', '.join(map(str, numbers))})")
            if part.num_rows:
                view.add(part)

    def _finish(self, database: Any) -> None:
        """Bring the indices up to date, and check that nothing is missing or twice."""
        from lancedb.index import FTS, IvfSq

        pairs = database.open_table(PAIRS)
        count, expected = pairs.count_rows(), self._table.count_texts()
        if count != expected:
            raise StoreError(
                f"the index {self._place} has {count} pairs and the run {expected}: remove it, "
                "and it is built again"
            )
        # Words of any language; no stop words, so that what stands in a text can be found.
        words = FTS(
            with_position=True, base_tokenizer="icu", remove_stop_words=False, max_token_length=None
        )
        _indexed(pairs, "text", words)
        for place in range(len(self._layout.embeddings)):
            vectors = database.open_table(vectors_name(place))
            if vectors.count_rows() >= _MANY:
                _indexed(vectors, VECTOR, IvfSq(distance_type="cosine"))

    def _values(self, database: Any) -> dict[str, list[str]]:
        """Return the values of the columns of words that have few."""
        if PAIRS not in table_names(database):
            return {}
        pairs = database.open_table(PAIRS).to_lance()
        names = [column.stored for column in self._layout.columns if column.kind == "text"]
        found: dict[str, set[str]] = {name: set() for name in names}
        for batch in pairs.to_batches(columns=names):
            for name in list(found):
                found[name].update(value for value in batch[name].unique().to_pylist() if value)
                if len(found[name]) > _FEW_VALUES:
                    del found[name]
        return {name: sorted(values) for name, values in found.items()}

    def _write_state(
        self, held: Mapping[int, int], *, finished: bool, values: Mapping[str, Any] | None = None
    ) -> None:
        state = {
            "run": _run(self._table),
            "held": held,
            "finished": finished,
            "values": values or {},
        }
        write_json(self._place / STATE_FILE, state)


def _indexed(table: Any, column: str, config: Any) -> None:
    """Make the index of a column, or add what came since to the one there is."""
    if any(column in index.columns for index in table.list_indices()):
        table.optimize(cleanup_older_than=timedelta(days=1))
    else:
        table.create_index(column, config=config)


@contextlib.contextmanager
def _building(base: Path) -> Iterator[None]:
    """Wait for whoever builds here, then build alone; the lock dies with the process."""
    with storage_errors(base):
        base.mkdir(parents=True, exist_ok=True)
        with (base / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
