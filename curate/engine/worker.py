"""The work of a leg on one partition: read, run the stages, check, commit. Knows nothing of Ray.

The same object serves the for-loop of the local engine and an actor of the ray engine, so both
mean the same.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core import columns
from curate.core.atomic import write_parquet
from curate.core.errand import Errand
from curate.core.errors import CurateError, LawError, StageError
from curate.core.ledger import CARRIED, LEDGER_SCHEMA, count_reasons, split_rows
from curate.core.notes import merge_notes
from curate.core.partition import Partition
from curate.core.plan import LegPlan, StagePlan
from curate.core.stage import (
    Barrier,
    Mapped,
    MapStage,
    RowFilter,
    TextFilter,
    any_stage_ready,
)
from curate.core.store import Receipt, RunStore, Work
from curate.core.supplement import retried_rows, rows_left
from curate.core.tombstones import REASON, Tombstones, without_content
from curate.engine.base import Assignment, PassWork
from curate.engine.settled import settle


@dataclass
class _Tally:
    """What a leg gathers over its stages for one partition."""

    ledgers: list[pa.Table] = field(default_factory=list)
    canaries: list[pa.Table] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)


class LegWorker:
    """Runs one leg; built where it runs, set up once, called for many partitions."""

    def __init__(self, work: PassWork, leg: int) -> None:
        self._work = work
        self._leg: LegPlan = work.this.legs[leg]
        self._store = RunStore(work.root)
        self._before = work.nodes_before(leg)
        self._reads_source = not self._before
        self._last = leg == len(work.this.legs) - 1
        source = work.plan.source
        self._source = source.build() if source is not None and self._reads_source else None
        self._tombstones = Tombstones.load(work.root) if self._source is not None else None
        self._stages = [(plan, plan.config.build()) for plan in self._leg.stages]
        barrier = work.this.barrier
        self._barrier: Barrier | None = (
            barrier.stage.config.build() if barrier and self._last else None
        )
        self._open = contextlib.ExitStack()

    def setup(self) -> None:
        """Load the models and settle batch sizes; once, before the first partition."""
        with contextlib.ExitStack() as opening:
            opening.enter_context(any_stage_ready([stage for _, stage in self._stages]))
            folder = self._work.root / self._leg.node.folder
            stages = {plan.name: stage for plan, stage in self._stages}
            settle(folder, stages.items())
            for stage in stages.values():
                if isinstance(stage, MapStage):
                    stage.meet(stages)
            self._open = opening.pop_all()

    def close(self) -> None:
        """Give back what ``setup`` took."""
        self._open.close()

    def run(
        self, assignment: Assignment, handed: pa.Table | None
    ) -> tuple[pa.Table | None, Receipt]:
        """Take one partition through the leg and commit it.

        Args:
            assignment: which, and whether the partition itself or a supplement of it.
            handed: the table from the leg before, or None to read it from the store.

        Returns:
            The table for the next leg (None after the last, or when it was committed earlier, in
            which case the next leg reads the store), and the receipt. An errand that finds no row
            commits nothing.

        Raises:
            StageError: a stage raised.
            CurateError: what concerns the whole run.
        """
        partition = assignment.partition
        if assignment.errand is not None:
            return None, self._supplement(partition, assignment.errand)
        done = self._store.receipt(self._leg.node, partition.number)
        if done is not None:  # a worker died after its commit and before its answer
            return None, done
        tally = _Tally()
        rows = self._take(partition, handed, tally)
        rows_in = partition.rows if self._reads_source else rows.num_rows
        rows = self._through(rows, partition, tally)
        receipt = Receipt(partition.number, rows_in, rows.num_rows, {})
        if (done := self._other_was_quicker(receipt)) is not None:
            return None, done
        return self._hand_on(rows), self._commit(partition, rows, receipt, tally)

    def _other_was_quicker(self, mine: Receipt) -> Receipt | None:
        """Return the receipt of a worker that has committed the same meanwhile, if there is one.

        One that was cut off and taken for dead, or that outlived its driver by a moment, may still
        commit. Its rows can differ (a server that answered once and failed once), so what is
        committed first stays, whole.
        """
        return self._store.receipt(self._leg.node, mine.partition, mine.revision)

    def _through(self, rows: pa.Table, partition: Partition, tally: _Tally) -> pa.Table:
        for plan, stage in self._stages:
            begun = time.perf_counter()
            rows = self._apply(plan, stage, rows, partition, tally)
            tally.seconds[plan.name] = time.perf_counter() - begun
        return rows

    # -- supplements -----------------------------------------------------------------------------

    def _supplement(self, partition: Partition, errand: Errand) -> Receipt:
        """Take the rows that an errand finds through the leg, and commit them beside the rest."""
        node, number = self._leg.node, partition.number
        receipts = self._store.receipts(node, number)
        assert receipts, f"{partition} is not committed: it needs no supplement"
        if receipts[-1].errand == errand.name:  # done before a kill, or before a worker died
            return receipts[-1]
        retried = retried_rows(self._store, node, number, errand)
        left = rows_left(self._store, self._before, node, number)
        wanted = np.union1d(left, retried["row"].to_numpy())
        receipt = Receipt(number, len(wanted), 0, {}, revision=len(receipts), errand=errand.name)
        if not len(wanted):
            return receipt
        tally = _Tally()
        rows = self._through(self._take(partition, None, tally, wanted), partition, tally)
        receipt = replace(receipt, rows_out=rows.num_rows, superseded=count_reasons(retried))
        if (done := self._other_was_quicker(receipt)) is not None:
            return done
        return self._commit(partition, rows, receipt, tally)

    # -- in ------------------------------------------------------------------------------------

    def _take(
        self,
        partition: Partition,
        handed: pa.Table | None,
        tally: _Tally,
        wanted: np.ndarray | None = None,
    ) -> pa.Table:
        """Return the leg's rows: handed on, from the source or from the store; all or some."""
        if self._reads_source:
            begun = time.perf_counter()
            rows = self._read_source(partition, tally, wanted)
            tally.seconds[self._leg.node.stages[0]] = time.perf_counter() - begun
            return rows
        if handed is None:
            written = {n for node in self._before if node.schema for n in node.schema.names}
            names = dict.fromkeys([*self._leg.reads, *self._leg.hands_on, *CARRIED])
            handed = self._store.read(
                self._before, partition.number, [name for name in names if name in written]
            )
        return handed if wanted is None else handed.filter(_among(handed["row"], wanted))

    def _read_source(
        self, partition: Partition, tally: _Tally, wanted: np.ndarray | None
    ) -> pa.Table:
        assert self._source is not None
        name = self._leg.node.stages[0]
        with _blame(name, partition):
            mapped = self._source.read(partition.file, partition.start, partition.stop)
        if mapped.rows.num_rows != partition.rows:
            raise LawError(
                f"{name} gave {mapped.rows.num_rows} of {partition.rows} rows: {partition}"
            )
        rows = _with_text_columns(mapped.rows)
        number = pa.array([partition.number] * rows.num_rows, pa.int32())
        rows = rows.add_column(0, columns.PARTITION, number)
        rows = rows.add_column(1, columns.ROW, pa.array(range(rows.num_rows), pa.int32()))
        columns.check_fields(rows, self._work.plan.source_schema, writer=name)
        if wanted is not None:
            mask = _among(rows["row"], wanted)
            rows, mapped = rows.filter(mask), _filtered(mapped, mask)
        if self._tombstones:
            mapped = _forgotten(mapped, self._tombstones.mask(rows))
        rows = self._absorb(name, mapped, rows, tally)
        tally.ledgers = [without_content(ledger) for ledger in tally.ledgers]
        return rows

    # -- stages --------------------------------------------------------------------------------

    def _apply(
        self,
        plan: StagePlan,
        stage: MapStage | RowFilter | TextFilter,
        rows: pa.Table,
        partition: Partition,
        tally: _Tally,
    ) -> pa.Table:
        with _blame(plan.name, partition):
            said = stage(rows)
        if isinstance(said, Mapped):
            self._check_mapped(plan, rows, said.rows)
            return self._absorb(plan.name, said, columns.pad_parallel(said.rows), tally)
        if isinstance(stage, TextFilter):
            return _merge_text_reasons(rows, said, plan.name)
        rows, ledger = split_rows(rows, said.reasons, said.details, stage=plan.name)
        tally.ledgers.append(ledger)
        return rows

    @staticmethod
    def _check_mapped(plan: StagePlan, before: pa.Table, after: pa.Table) -> None:
        if not before.select(columns.KEYS).equals(after.select(columns.KEYS)):
            raise LawError(f"{plan.name} must give back the same rows in the same order")
        columns.check_fields(after, plan.config.writes, writer=plan.name)

    @staticmethod
    def _absorb(name: str, said: Mapped, rows: pa.Table, tally: _Tally) -> pa.Table:
        merge_notes(tally.notes, {f"{name}.{note}": value for note, value in said.notes.items()})
        if said.canaries is not None:
            tally.canaries.append(said.canaries)
        if said.reasons is None:
            return rows
        rows, ledger = split_rows(rows, said.reasons, said.details, stage=name)
        tally.ledgers.append(ledger)
        return rows

    # -- out -----------------------------------------------------------------------------------

    def _commit(
        self, partition: Partition, rows: pa.Table, receipt: Receipt, tally: _Tally
    ) -> Receipt:
        """Commit rows and what was gathered on the way; fills in the receipt."""
        ledger = pa.concat_tables([LEDGER_SCHEMA.empty_table(), *tally.ledgers])
        canaries = _join_canaries(tally.canaries)
        texts = (
            int(columns.list_lengths(rows["texts"]).sum()) if "texts" in rows.schema.names else 0
        )
        receipt = replace(
            receipt,
            dropped=count_reasons(ledger),
            texts=texts,
            canaries=0 if canaries is None else canaries.num_rows,
            seconds=tally.seconds,
            notes=tally.notes,
        )
        if self._barrier is not None:
            assert self._work.this.barrier is not None
            node = self._work.this.barrier.node
            path = self._store.sketch_part(node, partition.number, receipt.revision)
            write_parquet(path, self._barrier.sketch(rows))
        work = Work(rows, ledger.sort_by([("row", "ascending")]), canaries)
        return self._store.commit(self._leg.node, partition, work, receipt)

    def _hand_on(self, rows: pa.Table) -> pa.Table | None:
        if self._last:
            return None
        names = dict.fromkeys([*columns.KEYS, *self._leg.hands_on, *CARRIED])
        return rows.select([name for name in names if name in rows.column_names])


@contextlib.contextmanager
def _blame(stage: str, partition: Partition) -> Iterator[None]:
    """The one boundary: whatever a stage raises on a partition gets both their names."""
    try:
        yield
    except (CurateError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise StageError(
            f"{stage} failed on {partition}: {type(error).__name__}: {error}"
        ) from error


def _among(rows: pa.ChunkedArray, wanted: np.ndarray) -> pa.Array:
    return pa.array(np.isin(rows.to_numpy(), wanted))


def _filtered(mapped: Mapped, mask: pa.Array) -> Mapped:
    """Return what a source said of some of its rows."""
    reasons, details = (
        None if said is None else pc.filter(said, mask) for said in (mapped.reasons, mapped.details)
    )
    return replace(mapped, rows=mapped.rows.filter(mask), reasons=reasons, details=details)


def _forgotten(mapped: Mapped, mask: np.ndarray) -> Mapped:
    """Return what a source said of its rows, with those stopped that were forgotten."""
    count = len(mask)
    reasons = pa.nulls(count, pa.string()) if mapped.reasons is None else mapped.reasons
    told = pc.if_else(pa.array(mask), pa.scalar(REASON, pa.string()), reasons)
    return replace(mapped, reasons=told)


def _with_text_columns(rows: pa.Table) -> pa.Table:
    """Complete a source's rows with the text columns it did not write."""
    if "texts" not in rows.column_names:
        empty = pa.array([[]] * rows.num_rows, columns.TEXTS.type)
        rows = rows.append_column(columns.TEXTS, empty)
    for field_ in columns.TEXT_FIELDS[1:]:
        if field_.name not in rows.column_names:
            empty = pa.array([[]] * rows.num_rows, field_.type)
            rows = rows.append_column(field_, empty)
    return columns.pad_parallel(rows)


def _merge_text_reasons(rows: pa.Table, said: pa.Array, stage: str) -> pa.Table:
    """Fill in a text filter's reasons where no earlier one stands."""
    lengths = columns.list_lengths(rows["texts"])
    if not (columns.list_lengths(said) == lengths).all():
        raise LawError(f"{stage} must give one verdict per text")
    before = pc.list_flatten(rows["text_reasons"]).combine_chunks()
    merged = pc.coalesce(before, pc.list_flatten(said))
    offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int32())
    column = pa.ListArray.from_arrays(offsets, merged)
    index = rows.schema.get_field_index("text_reasons")
    return rows.set_column(index, columns.TEXT_REASONS, column)


def _join_canaries(tables: list[pa.Table]) -> pa.Table | None:
    """Put the canaries of a leg's scorers into one table, null where a scorer said nothing."""
    tables = [table for table in tables if table.num_rows]
    return pa.concat_tables(tables, promote_options="default") if tables else None
