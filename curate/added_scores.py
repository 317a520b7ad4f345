"""Scorers over a finished run: ``curate add-score``, and what ``curate run`` does with them later.

See ``core.added`` for how they stand beside a run's steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.core.added import AddedScore, added_of, plan_added, with_added
from curate.core.atomic import exists, sweep_temporaries
from curate.core.errors import CurateError, Problem, RecipeError, StoreError, nearest
from curate.core.failpoints import reach
from curate.core.lease import owned
from curate.core.location import StorePath
from curate.core.plan import Node, Plan, StagePlan
from curate.core.plan_check import check_beside, check_columns
from curate.core.stage import Progress
from curate.core.store import RunStore, same_json
from curate.core.table import CommittedTable
from curate.engine.base import Engine
from curate.outcome import Reporter
from curate.passes import PassesResult, PassRunner
from curate.progress import RunProgress
from curate.recipe import parse_stage


@dataclass(frozen=True)
class Addition:
    """A scorer and its plan over a run.

    Attributes:
        added: as ``plan.json`` holds it.
        plan: one pass of one leg, behind the run's steps.
    """

    added: AddedScore
    plan: Plan

    @classmethod
    def of(cls, base: Plan, stage: StagePlan) -> Addition:
        """Plan a scorer over a run.

        Args:
            base: the run's steps (``nodes``) and columns (``schema``).
            stage: the scorer.

        Raises:
            RecipeError: it cannot work there: a name or column is taken, a column is missing, the
                checkpoint cannot be used.
        """
        problems = [Problem(said, stage.key, stage.line) for said in stage.config.check()]
        if any(stage.name in node.stages for node in base.nodes):
            said = f"the run has a stage {stage.name!r} already"
            problems.append(Problem(said, stage.key, stage.line, "give another name with 'as'"))
        problems += check_columns(base.schema, [stage])
        plan = plan_added(base.nodes, base.schema, stage)
        problems += check_beside(plan)
        if problems:
            raise RecipeError(f"the scorer {stage.name!r}", problems)
        options = stage.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
        written = {"kind": f"{stage.family}/{stage.kind}", **options}
        return cls(AddedScore(written, plan.legs[0].node), plan)


@dataclass(frozen=True)
class Scored:
    """What adding a scorer came to.

    Attributes:
        name: the scorer.
        columns: its columns.
        rows: rows it has scored.
        dropped: rows on which it could say nothing, by reason; they stay in the table, unscored.
        partitions: partitions it has scored.
        quarantined: partitions that were set aside, with the error.
        worked: commits made now; 0: there was nothing to do.
        replaced: whether an earlier scorer of the name went.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    dropped: dict[str, int]
    partitions: int
    quarantined: dict[int, str]
    worked: int
    replaced: bool


def add_scores(
    root: StorePath,
    stages: Sequence[StagePlan],
    engine: Callable[[], Engine],
    reporter: Reporter,
    *,
    replace_present: bool = False,
) -> list[Scored]:
    """Score a finished run by more scorers; their columns are there once each has seen all of it.

    Whatever was scored before a kill stays: the same call goes on.

    Args:
        root: the run's folder.
        stages: the scorers.
        engine: called when there is work.
        reporter: told what goes on.
        replace_present: a scorer of the same name with other settings goes.

    Raises:
        CurateError: nothing to score, a name that is taken, a checkpoint that cannot be used.
    """
    with owned(root) as crashed:
        if crashed:
            sweep_temporaries(root)
        progress = RunProgress(reporter)
        seen = progress.seeing(engine)
        with progress.telling(root):
            return [
                _add_score(RunStore(root), stage, seen, progress, replace_present)
                for stage in stages
            ]


def _add_score(
    store: RunStore,
    stage: StagePlan,
    engine: Callable[[], Engine],
    reporter: Reporter,
    replace_present: bool,
) -> Scored:
    nodes, schema, facts = store.read_plan()
    if not CommittedTable.of(store, nodes, schema, facts).partitions:
        raise StoreError(f"{store.root} has no finished partition yet: 'curate run' comes first")
    new = Addition.of(_base(nodes, schema), stage)
    present = added_of(facts)
    before = next((one for one in present if one.name == stage.name), None)
    _check_free(new.added, [one for one in present if one is not before])
    if before is not None and before.node != new.added.node and not replace_present:
        raise StoreError(
            f"{store.root} has an added scorer {stage.name!r} with other settings "
            f"({_said(before)}): give this one another name with 'as', or --replace it"
        )
    passes = PassRunner(new.plan, store, engine, reporter).run()
    reach("added.scored")
    after = [new.added if one is before else one for one in present]
    after += [new.added] if before is None else []
    changed = with_added(facts, after)
    if not same_json(changed, facts):
        store.write_plan(nodes, schema, changed)
    reach("added.placed")
    return _scored(new, passes, replaced=before is not None and before.node != new.added.node)


def _scored(new: Addition, passes: PassesResult, *, replaced: bool) -> Scored:
    node, totals = passes.totals[-1]
    assert node.schema is not None
    return Scored(
        name=new.added.name,
        columns=tuple(node.schema.names),
        rows=totals.rows_out,
        dropped=dict(totals.dropped.get(new.added.name, {})),
        partitions=totals.partitions,
        quarantined={n: error for n, (at, error) in passes.quarantined.items() if at == node},
        worked=passes.worked,
        replaced=replaced,
    )


def remove_score(root: StorePath, name: str) -> AddedScore:
    """Take an added scorer's columns out of a run; its folder stays and is found again.

    Raises:
        StoreError: no scorer of that name was added.
    """
    with owned(root):
        store = RunStore(root)
        nodes, schema, facts = store.read_plan()
        present = added_of(facts)
        gone = next((one for one in present if one.name == name), None)
        if gone is None:
            known = [one.name for one in present]
            raise StoreError(f"no scorer {name!r} was added to {root}: {nearest(name, known)}")
        store.write_plan(nodes, schema, with_added(facts, [o for o in present if o is not gone]))
        return gone


def refresh_view(root: StorePath, progress: Progress) -> None:
    """Bring a run's LanceDB view up to date, where it has one."""
    from curate.sinks.lance import VIEW_FILE, Config

    if exists(root / VIEW_FILE):
        with owned(root):
            Config().build().index(CommittedTable.open(root), progress)


class Additions:
    """The scorers that were added to a run, while ``curate run`` goes on with it."""

    def __init__(self, store: RunStore, plan: Plan, facts: dict[str, Any]) -> None:
        """Plan them over the run's plan as it is now.

        Args:
            store: the run's folder.
            plan: the recipe's plan; a scorer that it has itself by now is no addition any more.
            facts: of the ``plan.json`` there was.

        Raises:
            StoreError: one of them cannot be used any more; the message says what to do.
        """
        self._store = store
        own = {name for node in plan.nodes for name in node.stages}
        self.superseded = [one.name for one in added_of(facts) if one.name in own]
        self.all = [self._again(plan, one) for one in added_of(facts) if one.name not in own]

    def _again(self, plan: Plan, one: AddedScore) -> Addition:
        try:
            stage = parse_stage(dict(one.stage), (), "scorers", scores=())
            return Addition.of(plan, stage)
        except CurateError as error:
            raise StoreError(
                f"the scorer {one.name!r} was added to {self._store.root} and cannot go on with "
                f"it: {error}\nmend that, or take it out: "
                f"curate add-score {self._store.root} --remove {one.name}"
            ) from error

    @property
    def present(self) -> list[AddedScore]:
        """As ``plan.json`` is to hold them."""
        return [one.added for one in self.all]

    @property
    def plans(self) -> list[Plan]:
        """Their plans."""
        return [one.plan for one in self.all]

    def run(self, engine: Callable[[], Engine], reporter: Reporter, passes: PassesResult) -> None:
        """Score what they have not seen; commits and partitions set aside go to ``passes``."""
        for one in self.all:
            result = PassRunner(one.plan, self._store, engine, reporter).run()
            passes.worked += result.worked
            passes.quarantined.update(result.quarantined)


def _check_free(new: AddedScore, others: Sequence[AddedScore]) -> None:
    for other in others:
        assert new.node.schema is not None
        assert other.node.schema is not None
        both = set(new.node.schema.names) & set(other.node.schema.names)
        if both:
            raise StoreError(
                f"the scorers {new.name!r} and {other.name!r} would both write "
                f"{min(both)!r}: give this one another name with 'as'"
            )


def _base(nodes: Sequence[Node], schema: pa.Schema) -> Plan:
    return Plan(source=None, source_schema=schema, passes=(), schema=schema, earlier=tuple(nodes))


def _said(one: AddedScore) -> str:
    return ", ".join(f"{key}: {value}" for key, value in one.stage.items())
