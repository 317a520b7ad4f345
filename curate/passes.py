"""Runs a plan: pass by pass, barrier by barrier, until every partition is committed everywhere.

Also the second law-keeper: at the end, rows in = rows in the table + rows in the ledger, over the
whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from curate.barriers import resolve_barrier
from curate.core.atomic import write_json
from curate.core.ledger import check_rows, merge_counts
from curate.core.partition import Partition, Register
from curate.core.plan import LegPlan, Node, PassPlan, Plan
from curate.core.store import Receipt, RunStore
from curate.core.totals import Totals
from curate.engine.base import Engine, Failure, PassWork


class Watcher:
    """Told of what goes on; the terminal is one. Every method may be left as it is."""

    def pass_begins(self, one: PassPlan, done: list[int], total: int | None) -> None:
        """A pass begins: partitions done per leg, and in all (None while the list is read)."""

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        """A leg has committed a partition."""

    def set_aside(self, leg: LegPlan, failure: Failure) -> None:
        """A partition failed too often and was quarantined."""

    def pass_ends(self, one: PassPlan) -> None:
        """A pass is complete."""

    def barrier(self, node: Node, dropped: int | None) -> None:
        """A barrier is being resolved (None) or has dropped so many rows."""


@dataclass
class PassesResult:
    """What the passes came to.

    Attributes:
        rows: rows in the list.
        partitions: partitions of the list.
        totals: by step, in order.
        quarantined: partitions set aside, with the step and the error.
        worked: commits made now (0: there was nothing to do).
    """

    rows: int = 0
    partitions: int = 0
    totals: list[tuple[Node, Totals]] = field(default_factory=list)
    quarantined: dict[int, tuple[Node, str]] = field(default_factory=dict)
    worked: int = 0

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """Rows in the ledger by stage and reason, in the order of the stages."""
        out: dict[str, dict[str, int]] = {}
        for node, totals in self.totals:
            for stage in node.stages:
                merge_counts(out, {stage: totals.dropped.get(stage, {})})
        return {stage: reasons for stage, reasons in out.items() if reasons}

    @property
    def kept(self) -> int:
        """Rows in the finished table."""
        return self.totals[-1][1].rows_out


class PassRunner:
    """Takes a run's partitions through a plan. One process at a time (see ``core.lease``)."""

    def __init__(
        self, plan: Plan, store: RunStore, engine: Callable[[], Engine], watcher: Watcher
    ) -> None:
        """Keep what is needed; ``engine`` is called when there is work, not before."""
        self._plan = plan
        self._store = store
        self._engine = engine
        self._watcher = watcher
        self._register: Register = store.register()
        self._result = PassesResult()

    def run(self) -> PassesResult:
        """Do whatever is not done.

        Raises:
            CurateError: what concerns the whole run. What was committed stays valid.
        """
        self._load_quarantine()
        for one in self._plan.passes:
            self._pass(one)
            if one.barrier is not None:
                self._barrier(one)
        self._result.rows = self._register.num_rows
        self._result.partitions = self._register.num_partitions
        self._check_laws()
        return self._result

    # -- passes --------------------------------------------------------------------------------

    def _pass(self, one: PassPlan) -> None:
        if one.legs and not (one.index > 0 and self._is_done(one)):
            self._run_legs(one)
        else:
            for leg in one.legs:
                self._note_totals(leg.node)

    def _run_legs(self, one: PassPlan) -> None:
        committed = [self._store.committed(leg.node) for leg in one.legs]
        totals = [Totals() for _ in one.legs]
        self._watcher.pass_begins(
            one,
            [len(numbers) for numbers in committed],
            self._expected(one.legs[-1].node) if one.index else None,
        )

        def unfinished() -> Iterator[tuple[Partition, int]]:
            for partition in self._partitions(one):
                first = next(
                    (i for i, done in enumerate(committed) if partition.number not in done),
                    len(one.legs),
                )
                for leg in range(first):
                    receipt = self._store.receipt(one.legs[leg].node, partition.number)
                    assert receipt is not None
                    totals[leg].add(receipt)
                if first < len(one.legs) and partition.number not in self._result.quarantined:
                    yield partition, first

        def on_receipt(leg: int, receipt: Receipt) -> None:
            receipt.check(f"{one.legs[leg].name}, partition {receipt.partition}")
            totals[leg].add(receipt)
            self._result.worked += 1
            self._watcher.committed(one.legs[leg], receipt)

        def on_failure(failure: Failure) -> None:
            self._quarantine(one, failure)

        work = PassWork(self._store.root, self._plan, one.index)
        waiting = unfinished()
        head = next(waiting, None)
        if head is not None:  # otherwise no engine is started at all
            self._engine().run_pass(work, _chain(head, waiting), on_receipt, on_failure)
        self._watcher.pass_ends(one)
        for leg, total in zip(one.legs, totals, strict=True):
            self._write_totals(leg.node, total)

    def _partitions(self, one: PassPlan) -> Iterator[Partition]:
        if one.index == 0:
            source = self._plan.source
            return self._register.listed(source.build(), self._store.spool, source.partition_rows)
        return self._register.partitions()

    def _is_done(self, one: PassPlan) -> bool:
        for leg in one.legs:
            totals = Totals.load(self._store.done_file(leg.node))
            if totals is None or totals.partitions != self._expected(leg.node):
                return False
        return True

    def _expected(self, node: Node) -> int:
        """Partitions that can get through a step: all but those set aside there or before."""
        nodes = self._plan.nodes
        upto = nodes.index(node)
        aside = sum(nodes.index(at) <= upto for at, _ in self._result.quarantined.values())
        return self._register.num_partitions - aside

    def _load_quarantine(self) -> None:
        for leg in self._plan.legs:
            for number, facts in self._store.quarantined(leg.node).items():
                self._result.quarantined[number] = (leg.node, facts["error"])

    def _quarantine(self, one: PassPlan, failure: Failure) -> None:
        leg = one.legs[failure.leg]
        number = failure.partition.number
        facts = {
            "partition": number,
            "where": str(failure.partition),
            "leg": leg.name,
            "error": failure.error,
            "traceback": failure.traceback,
            "attempts": failure.attempts,
        }
        write_json(self._store.quarantine_file(leg.node, number), facts)
        self._result.quarantined[number] = (leg.node, failure.error)
        self._watcher.set_aside(leg, failure)

    # -- barriers ------------------------------------------------------------------------------

    def _barrier(self, one: PassPlan) -> None:
        assert one.barrier is not None
        node = one.barrier.node
        nodes = self._plan.nodes
        before = nodes[: nodes.index(node)]
        last = [leg for leg in before if leg.is_leg][-1]
        numbers = sorted(self._store.committed(last))
        path = self._store.done_file(node)
        before_now = Totals.load(path)
        if before_now is not None and before_now.partitions == len(numbers):
            self._result.totals.append((node, before_now))
            return
        self._watcher.barrier(node, None)
        path.unlink(missing_ok=True)
        dropped = resolve_barrier(one.barrier, self._store, before, numbers)
        rows_in = self._result.totals[-1][1].rows_out
        stopped = sum(dropped.values())
        totals = Totals(
            partitions=len(numbers),
            rows_in=rows_in,
            rows_out=rows_in - stopped,
            dropped={node.stages[0]: dropped} if dropped else {},
        )
        self._write_totals(node, totals)
        self._watcher.barrier(node, stopped)

    # -- totals and laws -----------------------------------------------------------------------

    def _write_totals(self, node: Node, totals: Totals) -> None:
        path = self._store.done_file(node)
        if Totals.load(path) != totals:
            write_json(path, totals.to_json())
        self._result.totals.append((node, totals))

    def _note_totals(self, node: Node) -> None:
        totals = Totals.load(self._store.done_file(node))
        assert totals is not None  # as _is_done has seen
        self._result.totals.append((node, totals))

    def _check_laws(self) -> None:
        if self._result.quarantined:
            return  # the run is unfinished and says so; every commit kept its own law
        check_rows(
            "the whole run",
            rows_in=self._result.rows,
            rows_out=self._result.kept,
            dropped=self._result.dropped,
        )


def _chain(
    head: tuple[Partition, int], rest: Iterator[tuple[Partition, int]]
) -> Iterator[tuple[Partition, int]]:
    yield head
    yield from rest
