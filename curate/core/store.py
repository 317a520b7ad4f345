"""The store: a run's folder, column families, and the commit that makes work count.

A leg commits a partition by writing its part (the rows' keys and the columns it adds), its ledger
entries and its canaries under temporary names, flushing and renaming them, and then, last, the
commit file, which *is* the commit. What is not committed is as if it never ran. Reading zips the
columns of several legs on (partition, row).

The reading half needs no recipe: ``plan.json`` says which steps there are and what each holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.core import columns
from curate.core.atomic import (
    damaged,
    flush_directory,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
)
from curate.core.errors import StoreError
from curate.core.ledger import LEDGER_SCHEMA, check_rows
from curate.core.partition import Partition, Register, part_name
from curate.core.plan import Node
from curate.core.plan_codec import node_from_json, node_json, schema_from_text, schema_text

PLAN_FILE = "plan.json"
RECIPE_FILE = "recipe.yaml"


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
        fingerprint: of the leg.
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


class RunStore:
    """A run's folder on a local disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- where things are ---------------------------------------------------------------------

    @property
    def spool(self) -> Path:
        """Copies of lists without random access, and listings of folders."""
        return self.root / "source"

    def register(self) -> Register:
        """Return the register of source files and partition numbers."""
        return Register(self.spool / "files.jsonl")

    def part(self, node: Node, number: int) -> Path:
        """Columns a leg added to a partition."""
        return self.root / node.folder / "parts" / f"{part_name(number)}.parquet"

    def ledger_part(self, node: Node, number: int) -> Path:
        """Ledger entries of a leg or barrier for a partition; there only when rows stopped."""
        return self.root / node.folder / "ledger" / f"{part_name(number)}.parquet"

    def canary_part(self, node: Node, number: int) -> Path:
        """Canary scores of a leg for a partition; there only when it has any."""
        return self.root / node.folder / "canaries" / f"{part_name(number)}.parquet"

    def sketch_part(self, node: Node, number: int) -> Path:
        """Narrow columns of a partition, for a barrier."""
        return self.root / node.folder / "sketches" / f"{part_name(number)}.parquet"

    def commit_file(self, node: Node, number: int) -> Path:
        """The commit of a leg for a partition."""
        return self.root / node.folder / "commits" / f"{part_name(number)}.json"

    def done_file(self, node: Node) -> Path:
        """Totals of a step that is complete."""
        return self.root / node.folder / "done.json"

    def quarantine_file(self, node: Node, number: int) -> Path:
        """Why a partition was set aside."""
        return self.root / node.folder / "quarantine" / f"{part_name(number)}.json"

    def selection(self, name: str) -> Path:
        """Folder of a selection."""
        return self.root / "selections" / name

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

    def read_plan(self) -> tuple[tuple[Node, ...], pa.Schema, dict[str, Any]]:
        """Return the steps, the finished table's schema and the facts of the last run.

        Raises:
            StoreError: the folder holds no run, or its plan is damaged.
        """
        path = self.root / PLAN_FILE
        if not path.exists():
            raise StoreError(
                f"{self.root} holds no run (no {PLAN_FILE}): give the folder that a recipe names "
                "as 'output' and that 'curate run' has written to"
            )
        try:
            facts = json.loads(path.read_bytes())
            nodes = tuple(node_from_json(node) for node in facts.pop("nodes"))
            facts.pop("columns")
            return nodes, schema_from_text(facts.pop("schema")), facts
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
        number = partition.number
        keys = [columns.PARTITION, columns.ROW]
        part = work.rows.select([*columns.KEYS, *node.schema.names])
        part = columns.declare(part, [*keys, *node.schema])
        folders = {self.part(node, number).parent}
        size = write_parquet(self.part(node, number), part, flush_folder=False)
        for path, table in (
            (self.ledger_part(node, number), work.ledger),
            (self.canary_part(node, number), work.canaries),
        ):
            if table is not None and table.num_rows:
                size += write_parquet(path, table, flush_folder=False)
                folders.add(path.parent)
            else:
                path.unlink(missing_ok=True)  # of an attempt that died before its commit
        for folder in folders:
            flush_directory(folder)
        done = Receipt(
            **{**asdict(receipt), "bytes_written": size, "fingerprint": node.fingerprint}
        )
        write_json(self.commit_file(node, number), asdict(done))
        return done

    def receipt(self, node: Node, number: int) -> Receipt | None:
        """Return a partition's receipt, or None where the leg has not committed it.

        Raises:
            StoreError: the commit is damaged.
        """
        path = self.commit_file(node, number)
        if not path.exists():
            return None
        try:
            return Receipt(**json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise damaged(path, error, remove=self.root / node.folder) from error

    def committed(self, node: Node) -> set[int]:
        """Return the numbers of the partitions a leg has committed."""
        return {int(path.stem[5:]) for path in _files(self.root / node.folder / "commits", ".json")}

    def quarantined(self, node: Node) -> dict[int, dict[str, Any]]:
        """Return the partitions that were set aside at a leg, with the reason."""
        folder = self.root / node.folder / "quarantine"
        return {int(path.stem[5:]): read_json(path) for path in _files(folder, ".json")}

    # -- reading --------------------------------------------------------------------------------

    def live_rows(self, nodes: Sequence[Node], number: int) -> np.ndarray:
        """Return the row numbers alive after the given steps, ascending, int32."""
        legs = [node for node in nodes if node.is_leg]
        keys = self._read(legs[-1], self.part(legs[-1], number), columns=["row"], memory_map=True)
        rows: np.ndarray = keys["row"].to_numpy()
        for node in nodes[_index(nodes, legs[-1]) + 1 :]:
            path = self.ledger_part(node, number)
            if path.exists():
                stopped = self._read(node, path, columns=["row"])["row"].to_numpy()
                rows = rows[~np.isin(rows, stopped)]
        return rows

    def read(self, nodes: Sequence[Node], number: int, names: Iterable[str]) -> pa.Table:
        """Read a partition as it is after the given steps.

        Args:
            nodes: the steps so far, in order, the partition committed in every leg of them.
            number: the partition.
            names: columns wanted; the keys always come first.

        Returns:
            One row per live row, rows ascending; parallel lists padded to ``texts``.

        Raises:
            KeyError: a column that none of the steps writes.
        """
        wanted = list(dict.fromkeys(name for name in names if name not in columns.KEYS))
        rows = self.live_rows(nodes, number)
        newest: dict[str, Node] = {}
        for node in nodes:
            if node.schema is not None:
                newest.update(dict.fromkeys(node.schema.names, node))
        missing = [name for name in wanted if name not in newest]
        if missing:
            raise KeyError(f"no step has written {missing[0]!r}")
        pad = bool({"texts"} & newest.keys()) and any(_is_parallel(newest, n) for n in wanted)
        needed = [*wanted, *(["texts"] if pad and "texts" not in wanted else [])]
        table = _keys_table(number, rows)
        for node in dict.fromkeys(newest[name] for name in needed):
            mine = [name for name in needed if newest[name] is node]
            part = self._read(node, self.part(node, number), columns=["row", *mine])
            if part.num_rows != len(rows):
                part = part.take(pa.array(np.searchsorted(part["row"].to_numpy(), rows)))
            for name in mine:
                assert node.schema is not None
                table = table.append_column(node.schema.field(name), part[name])
        return columns.pad_parallel(table).select([*columns.KEYS, *wanted])

    def ledger(self, nodes: Sequence[Node], number: int | None = None) -> Iterator[pa.Table]:
        """Yield ledger entries of the given steps, of one partition or of all."""
        for node in nodes:
            folder = self.root / node.folder / "ledger"
            paths = (
                [self.ledger_part(node, number)]
                if number is not None
                else _files(folder, ".parquet")
            )
            for path in paths:
                if path.exists():
                    yield self._read(node, path, schema=LEDGER_SCHEMA)

    def canaries(self, nodes: Sequence[Node]) -> Iterator[tuple[Node, pa.Table]]:
        """Yield canary scores, with the leg that scored them."""
        for node in nodes:
            for path in _files(self.root / node.folder / "canaries", ".parquet"):
                yield node, self._read(node, path)

    def _read(self, node: Node, path: Path, **options: Any) -> pa.Table:
        return read_parquet(path, remove=self.root / node.folder, **options)


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield a step's files in the order of their partitions; a thousand names in memory."""
    if not folder.exists():
        return
    for group in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from sorted(
            path for path in group.iterdir() if path.suffix == suffix and path.name[0] != "."
        )


def _index(nodes: Sequence[Node], node: Node) -> int:
    return next(i for i, one in enumerate(nodes) if one is node)


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
