"""Runs a plan: pass by pass, barrier by barrier, until every partition is committed everywhere.

Also the second law-keeper: at the end, rows in = rows in the table + rows in the ledger, over the
whole run.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from curate.barriers import judged, resolve_barrier
from curate.core.atomic import remove, write_json
from curate.core.errand import Errand
from curate.core.failpoints import reach
from curate.core.ledger import check_rows, merge_counts
from curate.core.partition import Partition, Register
from curate.core.plan import LegPlan, Node, PassPlan, Plan
from curate.core.store import Receipt, RunStore
from curate.core.supplement import Due, touched
from curate.core.totals import Totals
from curate.engine.base import Assignment, Engine, Failure, PassWork


class Watcher:
    """Told of what goes on; the terminal is one. Every method may be left as it is."""

    def pass_begins(self, one: PassPlan, done: list[int], total: int | None) -> None:
        """A pass begins: partitions done per leg, and in all (None while the list is read)."""

    def listed(self, total: int) -> None:
        """The list was read to its end: it has so many partitions."""

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
        self._errand = Errand("")
        self._supplemented: set[int] = set()

    def run(self, errand: Errand | None = None) -> PassesResult:
        """Do whatever is not done.

        Args:
            errand: rows to try again as well, of partitions committed everywhere. They, and what
                becomes of them further on, are committed as supplements.

        Raises:
            CurateError: what concerns the whole run. What was committed stays valid.
        """
        if errand is None:
            errand = Errand(f"left-{uuid.uuid4().hex}")
        self._result = PassesResult()
        self._errand = errand
        self._supplemented = touched(self._earlier_commits())
        self._load_quarantine()
        for one in self._plan.passes:
            if one.legs:
                self._pass(one)
            if one.barrier is not None:
                self._barrier(one)
        self._result.rows = self._register.num_rows
        self._result.partitions = self._register.num_partitions
        self._check_laws()
        return self._result

    # -- passes --------------------------------------------------------------------------------

    def _pass(self, one: PassPlan) -> None:
        commits = [self._store.commits(leg.node) for leg in one.legs]
        lists = self._plan.reads_list(one)
        totals = None if lists else self._complete(one, commits)
        if totals is None:
            totals = [Totals() for _ in one.legs]
            self._watcher.pass_begins(
                one,
                [len(numbers) for numbers in commits],
                None if lists else self._expected(one.legs[-1].node),
            )
            self._take(one, self._unfinished(one, commits, totals), commits, totals)
            self._watcher.pass_ends(one)
        due = self._supplements_due(one, commits)
        if due:
            self._watcher.pass_begins(one, [0 for _ in one.legs], len(due))
            self._take(one, iter(due), commits, totals)
            self._watcher.pass_ends(one)
        self._supplemented.update(
            *(
                touched(self._store.commits(leg.node) if due else had)
                for leg, had in zip(one.legs, commits, strict=True)
            )
        )
        for leg, total in zip(one.legs, totals, strict=True):
            self._write_totals(leg.node, total)

    def _take(
        self,
        one: PassPlan,
        assignments: Iterator[Assignment],
        counted: Sequence[Mapping[int, int]],
        totals: Sequence[Totals],
    ) -> None:
        """Have the engine work; an engine is started only when there is work.

        Args:
            one: the pass.
            assignments: the work.
            counted: by leg, commits that are in the totals already.
            totals: by leg; grow with each commit.
        """

        def on_receipt(leg: int, receipt: Receipt) -> None:
            receipt.check(f"{one.legs[leg].name}, partition {receipt.partition}")
            known = receipt.revision <= counted[leg].get(receipt.partition, -1)
            if receipt.fingerprint and not known:  # an errand may find nothing to commit
                totals[leg].add(receipt)
                self._result.worked += 1
            self._watcher.committed(one.legs[leg], receipt)

        def on_failure(failure: Failure) -> None:
            self._quarantine(one, failure)

        head = next(assignments, None)
        if head is not None:
            work = PassWork(self._store.root, self._plan, one.index)
            todo = itertools.chain([head], assignments)
            self._engine().run_pass(work, todo, on_receipt, on_failure)

    def _unfinished(
        self, one: PassPlan, commits: Sequence[Mapping[int, int]], totals: Sequence[Totals]
    ) -> Iterator[Assignment]:
        """Count what legs have committed; yield the partitions that some leg has not."""
        through = set(commits[0])
        for leg, done in enumerate(commits):
            through &= done.keys()
            counted = {number: done[number] for number in sorted(through)}
            for receipt in self._store.each_receipt(one.legs[leg].node, counted):
                totals[leg].add(receipt)
        for partition in self._partitions(one):
            number = partition.number
            first = next((i for i, done in enumerate(commits) if number not in done), len(commits))
            if first < len(one.legs) and number not in self._result.quarantined:
                yield Assignment(partition, first)

    def _supplements_due(
        self, one: PassPlan, commits: Sequence[Mapping[int, int]]
    ) -> list[Assignment]:
        """Return the partitions with rows left behind or to be tried again, in order."""
        due = Due(self._store, self._plan, one, self._errand)
        touched_before = self._supplemented.union(*(touched(numbers) for numbers in commits))
        return [
            Assignment(self._register.partition(number), first, self._errand)
            for number, first in due.partitions(touched_before)
            if number not in self._result.quarantined
        ]

    def _partitions(self, one: PassPlan) -> Iterator[Partition]:
        source = self._plan.source
        if source is not None and self._plan.reads_list(one) and not self._errand.reasons:
            listed = self._register.listed
            yield from listed(source.build(), self._store.spool, source.partition_rows)
            self._watcher.listed(self._register.num_partitions)
            return
        there = self._earlier_commits() if self._plan.earlier else None
        for partition in self._register.partitions():
            if there is None or partition.number in there:
                yield partition

    def _earlier_commits(self) -> dict[int, int]:
        """Partitions that the steps done earlier have committed, each with its supplements."""
        legs = [node for node in self._plan.earlier if node.is_leg]
        return self._store.commits(legs[-1]) if legs else {}

    def _complete(self, one: PassPlan, commits: Sequence[Mapping[int, int]]) -> list[Totals] | None:
        """Return a pass's totals as written down, or None when they lack some of its commits."""
        found = []
        for leg, numbers in zip(one.legs, commits, strict=True):
            totals = Totals.load(self._store.done_file(leg.node))
            if (
                totals is None
                or totals.partitions != self._expected(leg.node)
                or (totals.partitions, totals.supplements) != (len(numbers), sum(numbers.values()))
            ):
                return None
            found.append(totals)
        return found

    def _expected(self, node: Node) -> int:
        """Partitions that can get through a step: all but those set aside there or before."""
        nodes = self._plan.nodes
        upto = nodes.index(node)
        aside = sum(nodes.index(at) <= upto for at, _ in self._result.quarantined.values())
        return self._register.num_partitions - aside

    def _load_quarantine(self) -> None:
        for node in (node for node in self._plan.nodes if node.is_leg):
            for number, facts in self._store.quarantined(node).items():
                self._result.quarantined[number] = (node, facts["error"])

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
        commits = self._store.commits(last)
        known = Totals.load(self._store.done_file(node))
        if known is not None and judged(self._store, node) == commits:
            self._result.totals.append((node, known))
            return
        self._watcher.barrier(node, None)
        remove(self._store.done_file(node))
        reach("barrier.open")
        dropped = resolve_barrier(one.barrier, self._store, before, commits)
        rows_in = self._result.totals[-1][1].rows_out
        stopped = sum(dropped.values())
        totals = Totals(
            partitions=len(commits),
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

    def _check_laws(self) -> None:
        if self._result.quarantined or self._plan.earlier:
            return  # the run is unfinished and says so, or is not all here; commits keep the law
        check_rows(
            "the whole run",
            rows_in=self._result.rows,
            rows_out=self._result.kept,
            dropped=self._result.dropped,
        )
