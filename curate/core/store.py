"""The store: a run's folder, column families, and the commit that makes work count.

A leg commits a partition by writing its part (the rows' keys and the columns it adds), its ledger
entries and its canaries under temporary names, flushing and renaming them, and then, last, the
commit file, which *is* the commit. What is not committed is as if it never ran. Reading zips the
columns of several legs on (partition, row).

Committed files never change. Rows that come after their partition was committed (see
``core.errand``) are committed beside it as supplements, numbered from 1; a reader sees part and
supplements as one, and of two ledger entries of a row the later one.

The reading half needs no recipe: ``plan.json`` says which steps there are and what each holds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from curate.core import columns
from curate.core.atomic import (
    child_names,
    damaged,
    exists,
    flush_directory,
    read_bytes,
    read_json,
    read_many,
    read_parquet,
    read_parquet_if_there,
    remove,
    write_json,
    write_parquet,
)
from curate.core.errors import StoreError
from curate.core.failpoints import reach
from curate.core.layout import PLAN_FILE, RunLayout
from curate.core.ledger import LEDGER_SCHEMA, check_rows
from curate.core.location import StorePath
from curate.core.partition import Partition, Register, part_number
from curate.core.plan import Node
from curate.core.plan_codec import node_from_json, node_json, schema_from_text, schema_text
from curate.core.tombstones import check_none_pending


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a commit says of a partition: small, and all that the driver ever sees of it.

    Attributes:
        partition: its number.
        rows_in: rows that entered the leg.
        rows_out: rows that went on.
        dropped: rows in the ledger by stage and reason.
        texts: texts of the rows that went on.
        canaries: planted mismatches scored.
        seconds: time spent by stage.
        notes: the stages' counters, ``stage.counter``.
        bytes_written: size of the files of the commit.
        fingerprint: of the leg; empty where there was nothing to commit.
        revision: 0 for the partition itself, else the number of the supplement.
        errand: why a supplement was made.
        superseded: ledger entries that a supplement's rows had before, by stage and reason.
    """

    partition: int
    rows_in: int
    rows_out: int
    dropped: Mapping[str, Mapping[str, int]]
    texts: int = 0
    canaries: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    bytes_written: int = 0
    fingerprint: str = ""
    revision: int = 0
    errand: str = ""
    superseded: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def check(self, where: str) -> None:
        """Check the law of rows; raises ``LawError``."""
        check_rows(where, rows_in=self.rows_in, rows_out=self.rows_out, dropped=self.dropped)


@dataclass(frozen=True, slots=True)
class Work:
    """A leg's result for one partition, ready to commit.

    Attributes:
        rows: the rows that go on, at least with the keys and the leg's columns.
        ledger: entries of the rows that stopped.
        canaries: scores of planted mismatches, or None.
    """

    rows: pa.Table
    ledger: pa.Table
    canaries: pa.Table | None = None


class RunStore(RunLayout):
    """A run's folder: what is committed in it, and what can be read of it."""

    def register(self) -> Register:
        """Return the register of source files and partition numbers."""
        return Register(self.spool / "files")

    # -- the plan, for readers ----------------------------------------------------------------

    def write_plan(
        self, nodes: Sequence[Node], schema: pa.Schema, facts: Mapping[str, Any]
    ) -> None:
        """Write down the steps, so that the run can be read without its recipe."""
        write_json(
            self.root / PLAN_FILE,
            {
                **facts,
                "schema": schema_text(schema),
                "columns": schema.names,
                "nodes": [node_json(node) for node in nodes],
            },
        )

    def read_plan(
        self, *, while_forgetting: bool = False
    ) -> tuple[tuple[Node, ...], pa.Schema, dict[str, Any]]:
        """Return the steps, the finished table's schema and the facts of the last run.

        Args:
            while_forgetting: also while rows are being taken out; for who does that.

        Raises:
            StoreError: the folder holds no run, its plan is damaged, or rows are being forgotten.
        """
        path = self.root / PLAN_FILE
        if not while_forgetting:
            check_none_pending(self.root)
        try:
            facts = json.loads(read_bytes(path))
            nodes = tuple(node_from_json(node) for node in facts.pop("nodes"))
            facts.pop("columns")
            return nodes, schema_from_text(facts.pop("schema")), facts
        except FileNotFoundError:
            raise StoreError(
                f"{self.root} holds no run (no {PLAN_FILE}): give the folder that a recipe names "
                "as 'output' and that 'curate run' has written to"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            raise StoreError(
                f"{path} is damaged ({type(error).__name__}: {error}): restore it, "
                "or give another output folder"
            ) from error

    # -- commits --------------------------------------------------------------------------------

    def commit(self, node: Node, partition: Partition, work: Work, receipt: Receipt) -> Receipt:
        """Commit a leg's work on a partition; returns the receipt with sizes filled in.

        Raises:
            LawError: rows unaccounted for; nothing was committed.
            StorageFull, StoreError: nothing was committed.
        """
        assert node.schema is not None
        receipt.check(f"{'+'.join(node.stages)}, {partition}")
        place = (node, partition.number, receipt.revision)
        keys = [columns.PARTITION, columns.ROW]
        part = work.rows.select([*columns.KEYS, *node.schema.names])
        part = columns.declare(part, [*keys, *node.schema])
        folders = {self.part(*place).parent}
        size = write_parquet(self.part(*place), part, flush_folder=False)
        reach("commit.part")
        for path, table in (
            (self.ledger_part(*place), work.ledger),
            (self.canary_part(*place), work.canaries),
        ):
            if table is not None and table.num_rows:
                size += write_parquet(path, table, flush_folder=False)
                folders.add(path.parent)
            else:
                remove(path)  # of an attempt that died before its commit
            reach("commit.beside")
        for folder in folders:
            flush_directory(folder)
        reach("commit.flushed")
        done = Receipt(
            **{**asdict(receipt), "bytes_written": size, "fingerprint": node.fingerprint}
        )
        write_json(self.commit_file(*place), asdict(done))
        reach("commit.done")
        return done

    def receipt(self, node: Node, number: int, revision: int = 0) -> Receipt | None:
        """Return a partition's receipt, or None where the leg has not committed it.

        Raises:
            StoreError: the commit is damaged.
        """
        path = self.commit_file(node, number, revision)
        try:
            return Receipt(**json.loads(read_bytes(path)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise damaged(path, error, remove=self.root / node.folder) from error

    def receipts(self, node: Node, number: int) -> list[Receipt]:
        """Return a partition's receipts, its supplements' after its own; empty when uncommitted."""
        found: list[Receipt] = []
        while (receipt := self.receipt(node, number, len(found))) is not None:
            found.append(receipt)
        return found

    def each_receipt(self, node: Node, commits: Mapping[int, int]) -> Iterator[Receipt]:
        """Yield the receipts of partitions and their supplements, a thousand files at a time.

        Args:
            node: the leg.
            commits: partitions, each with how many supplements it has.

        Raises:
            StoreError: a commit is gone or damaged.
        """
        wanted = (
            self.commit_file(node, number, revision)
            for number, supplements in commits.items()
            for revision in range(supplements + 1)
        )
        while paths := list(itertools.islice(wanted, 1000)):
            for path, data in zip(paths, read_many(paths), strict=True):
                try:
                    yield Receipt(**json.loads(data or b""))
                except (ValueError, TypeError) as error:
                    raise damaged(path, error, remove=self.root / node.folder) from error

    def supplements(self, node: Node, number: int) -> int:
        """Return how many supplements a leg has committed of a partition."""
        count = 0
        while exists(self.commit_file(node, number, count + 1)):
            count += 1
        return count

    def commits(self, node: Node) -> dict[int, int]:
        """Return the partitions a leg has committed, ascending, each with its supplements."""
        found: dict[int, int] = {}
        for path in _files(self.root / node.folder / "commits", ".json"):
            number, revision = part_number(path)
            found[number] = max(found.get(number, 0), revision)
        return found

    def sketches(self, node: Node) -> set[tuple[int, int]]:
        """Return the sketches there are of a barrier: partition and revision."""
        return {
            part_number(path) for path in _files(self.root / node.folder / "sketches", ".parquet")
        }

    def committed(self, node: Node) -> set[int]:
        """Return the numbers of the partitions a leg has committed."""
        return set(self.commits(node))

    def quarantined(self, node: Node) -> dict[int, dict[str, Any]]:
        """Return the partitions that were set aside at a leg, with the reason."""
        folder = self.root / node.folder / "quarantine"
        return {part_number(path)[0]: read_json(path) for path in _files(folder, ".json")}

    # -- reading --------------------------------------------------------------------------------

    def live_rows(self, nodes: Sequence[Node], number: int) -> np.ndarray:
        """Return the row numbers alive after the given steps, ascending, int32."""
        last = _last_leg(nodes)
        return self._alive(nodes, number, self._part(last, number, []))

    def _alive(self, nodes: Sequence[Node], number: int, part: pa.Table) -> np.ndarray:
        """Return the rows of the last leg's part that no barrier behind it has stopped."""
        rows: np.ndarray = part["row"].to_numpy()
        for node in nodes[_index(nodes, _last_leg(nodes)) + 1 :]:
            stopped = self._if_there(node, self.ledger_part(node, number), columns=["row"])
            if stopped is not None:
                rows = rows[~np.isin(rows, stopped["row"].to_numpy())]
        return rows

    def seen_rows(self, node: Node, number: int, revision: int | None = None) -> np.ndarray:
        """Return the rows that a leg has taken of a partition, whatever became of them, int32.

        Args:
            node: the leg.
            number: the partition, committed there.
            revision: of one commit; None for all of them.
        """
        last = self.supplements(node, number)
        rows = []
        for one in range(last + 1) if revision is None else [revision]:
            for path in (self.part(node, number, one), self.ledger_part(node, number, one)):
                table = self._if_there(node, path, columns=["row"])
                if table is not None:
                    rows.append(table["row"].to_numpy())
        return np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int32)

    def read(
        self,
        nodes: Sequence[Node],
        number: int,
        names: Iterable[str],
        beside: Sequence[Node] = (),
    ) -> pa.Table:
        """Read a partition as it is after the given steps.

        Args:
            nodes: the steps so far, in order, the partition committed in every leg of them.
            number: the partition.
            names: columns wanted; the keys always come first.
            beside: legs whose columns are joined on, null in rows on which they say nothing.

        Returns:
            One row per live row, rows ascending; parallel lists padded to ``texts``.

        Raises:
            KeyError: a column that none of the steps writes.
        """
        wanted = list(dict.fromkeys(name for name in names if name not in columns.KEYS))
        newest: dict[str, Node] = {}
        for node in (*nodes, *beside):
            if node.schema is not None:
                newest.update(dict.fromkeys(node.schema.names, node))
        missing = [name for name in wanted if name not in newest]
        if missing:
            raise KeyError(f"no step has written {missing[0]!r}")
        like = _in_step(nodes, newest, wanted)
        needed = list(dict.fromkeys([*wanted, like] if like else wanted))
        last = _last_leg(nodes)
        mine = [name for name in needed if newest[name] is last]
        part = self._part(last, number, mine)
        rows = self._alive(nodes, number, part)
        table = _keys_table(number, rows)
        for node in dict.fromkeys([last, *(newest[name] for name in needed)]):
            assert node.schema is not None
            if node is not last:
                mine = [name for name in needed if newest[name] is node]
                part = (
                    self._joined(node, number, mine, rows)
                    if any(node is one for one in beside)
                    else self._part(node, number, mine)
                )
            if part.num_rows != len(rows):
                part = part.take(pa.array(np.searchsorted(part["row"].to_numpy(), rows)))
            for name in mine:
                table = table.append_column(node.schema.field(name), part[name])
        return columns.pad_parallel(table, like=like).select([*columns.KEYS, *wanted])

    def ledger(self, nodes: Sequence[Node], number: int | None = None) -> Iterator[pa.Table]:
        """Yield ledger entries of the given steps, of one partition or of all.

        A row that was tried again has the entry of its last attempt, or none when it went on.
        """
        for node in nodes:
            folder = self.root / node.folder / "ledger"
            numbers: Iterable[int] = (
                dict.fromkeys(part_number(path)[0] for path in _files(folder, ".parquet"))
                if number is None
                else [number]
            )
            for one in numbers:
                yield from self._ledger(node, one)

    def _ledger(self, node: Node, number: int) -> Iterator[pa.Table]:
        count = self.supplements(node, number) if node.is_leg else 0
        later = np.zeros(0, np.int32)
        entries = []
        for revision in reversed(range(count + 1)):
            path = self.ledger_part(node, number, revision)
            table = self._if_there(node, path, columns=LEDGER_SCHEMA.names)
            if table is not None:
                entries.append(table.filter(pa.array(~np.isin(table["row"].to_numpy(), later))))
            if revision:
                later = np.concatenate([later, self.seen_rows(node, number, revision)])
        if any(table.num_rows for table in entries):
            yield pa.concat_tables(entries).sort_by("row") if count else entries[0]

    def canaries(self, nodes: Sequence[Node]) -> Iterator[tuple[Node, pa.Table]]:
        """Yield canary scores, with the leg that scored them."""
        for node in nodes:
            for path in _files(self.root / node.folder / "canaries", ".parquet"):
                if exists(self.commit_file(node, *part_number(path))):
                    yield node, self._read(node, path)

    def _part(self, node: Node, number: int, names: Sequence[str]) -> pa.Table:
        """Read columns of a leg's part and supplements as one table, rows ascending."""
        wanted = ["row", *names]
        revisions = range(self.supplements(node, number) + 1)
        paths = [self.part(node, number, revision) for revision in revisions]
        # a lone column of numbers is cheap to map; images are not worth a second open file
        tables = [self._read(node, path, columns=wanted, memory_map=not names) for path in paths]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables).sort_by("row")

    def _joined(self, node: Node, number: int, names: Sequence[str], rows: np.ndarray) -> pa.Table:
        """Read columns of a leg for the given rows, null where it holds none of them."""
        assert node.schema is not None
        if exists(self.commit_file(node, number)):
            part = self._part(node, number, names)
        else:
            part = pa.schema([columns.ROW, *map(node.schema.field, names)]).empty_table()
        have = part["row"].to_numpy()
        place = np.searchsorted(have, rows)
        found = np.isin(rows, have)
        return part.take(pa.array(np.where(found, place, 0), pa.int64(), mask=~found))

    def _read(self, node: Node, path: StorePath, **options: Any) -> pa.Table:
        return read_parquet(path, remove=self.root / node.folder, **options)

    def _if_there(self, node: Node, path: StorePath, **options: Any) -> pa.Table | None:
        return read_parquet_if_there(path, remove=self.root / node.folder, **options)


def _files(folder: StorePath, suffix: str) -> Iterator[StorePath]:
    """Yield a step's files in the order of their partitions; a thousand names in memory."""
    for group in child_names(folder):
        yield from (
            folder / group / name
            for name in child_names(folder / group)
            if name.endswith(suffix) and name[0] != "."
        )


def _index(nodes: Sequence[Node], node: Node) -> int:
    return next(i for i, one in enumerate(nodes) if one is node)


def _last_leg(nodes: Sequence[Node]) -> Node:
    return next(node for node in reversed(nodes) if node.is_leg)


def _in_step(nodes: Sequence[Node], newest: Mapping[str, Node], wanted: Sequence[str]) -> str:
    """Return a column by whose lengths the parallel ones are padded; "" where none lags behind.

    What a leg wrote together with ``texts`` or later is as long as ``texts`` already, so that the
    texts themselves need not be read.
    """
    lists = [name for name in wanted if _is_parallel(newest, name)]
    if "texts" not in newest or not lists:
        return ""
    final = nodes[_index(nodes, newest["texts"]) :]
    in_step = [name for name in lists if any(newest[name] is node for node in final)]
    if len(in_step) == len(lists):
        return ""
    return in_step[0] if in_step else "texts"


def _is_parallel(newest: Mapping[str, Node], name: str) -> bool:
    schema = newest[name].schema
    return schema is not None and columns.is_parallel(schema.field(name))


def _keys_table(number: int, rows: np.ndarray) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array(np.full(len(rows), number, np.int32)), pa.array(rows, pa.int32())],
        schema=pa.schema([columns.PARTITION, columns.ROW]),
    )


def same_json(left: Any, right: Any) -> bool:
    """Whether two values are the same once written as JSON."""
    return json.dumps(left, sort_keys=True, default=str) == json.dumps(
        right, sort_keys=True, default=str
    )
