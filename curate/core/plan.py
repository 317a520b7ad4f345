"""The plan: a recipe's stages become passes and legs, checked before any model loads.

A *pass* is a streamed run over all partitions up to the next barrier. A pass is cut into *legs*:
neighbouring stages that need the same resources. Each leg commits the columns it adds, so that
changing a later leg leaves an earlier one's work alone even within a pass. Light stages (no
resources) ride with a neighbour: row filters behind the stage whose rows they thin out, text
filters and light maps ahead of the next leg, because changing them must not redo a download.

A leg's fingerprint covers its stages and everything before them, and names its folder: a changed
recipe finds no folder from the first changed leg on, and going back finds the old one again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.core import columns
from curate.core.config import SourceConfig, StageConfig
from curate.core.resources import Resources

#: Settings of a source that say where it is, not what it holds: a moved list is the same list.
_WHERE = ("path", "root")


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a recipe.

    Attributes:
        family: e.g. ``filters``.
        kind: e.g. ``resolution``.
        name: its name in the ledger, unique in the plan.
        config: its validated settings.
        key: where it stands in the recipe, e.g. ``stages[2]``.
        line: 1-based line in the recipe, if it came from a file.
    """

    family: str
    kind: str
    name: str
    config: StageConfig
    key: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A step that writes files: a leg or a barrier.

    Attributes:
        folder: relative to the run's folder, e.g. ``passes/1/leg-0-3fa2c1d4``.
        fingerprint: hex; covers this step and everything before it.
        stages: names of its stages, in order.
        schema: columns a leg's parts hold after the keys; None for a barrier.
    """

    folder: str
    fingerprint: str
    stages: tuple[str, ...]
    schema: pa.Schema | None

    @property
    def is_leg(self) -> bool:
        """Whether the step is a leg."""
        return self.schema is not None


@dataclass(frozen=True, slots=True)
class LegPlan:
    """Neighbouring stages that need the same resources.

    Attributes:
        node: its folder, fingerprint and columns.
        stages: its stages, in order.
        resources: what one worker of it occupies.
        reads: columns it needs from before, without the keys.
        hands_on: columns the rest of its pass needs of its table, without the keys.
    """

    node: Node
    stages: tuple[StagePlan, ...]
    resources: Resources
    reads: tuple[str, ...]
    hands_on: tuple[str, ...]

    @property
    def name(self) -> str:
        """Stages joined by ``+``, for people."""
        return "+".join(self.node.stages)


@dataclass(frozen=True, slots=True)
class BarrierPlan:
    """A stage that needs the whole set, at the end of its pass."""

    node: Node
    stage: StagePlan


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A streamed run over all partitions up to the next barrier."""

    index: int
    legs: tuple[LegPlan, ...]
    barrier: BarrierPlan | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe will do.

    Attributes:
        source: the validated source; None where the work rests on steps done earlier.
        source_schema: columns the source gives.
        passes: in order.
        schema: columns of the finished table, keys first.
        earlier: steps of another plan that the passes read from and that are left as they are.
    """

    source: SourceConfig | None
    source_schema: pa.Schema
    passes: tuple[PassPlan, ...]
    schema: pa.Schema
    earlier: tuple[Node, ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every step that writes files, in order."""
        out: list[Node] = [*self.earlier]
        for one in self.passes:
            out += [leg.node for leg in one.legs]
            out += [one.barrier.node] if one.barrier else []
        return tuple(out)

    def reads_list(self, one: PassPlan) -> bool:
        """Whether a pass takes its rows from the source."""
        return one.index == 0 and not self.earlier

    @property
    def legs(self) -> tuple[LegPlan, ...]:
        """Every leg, in order."""
        return tuple(leg for one in self.passes for leg in one.legs)


def compile_plan(source: StagePlan, schema: pa.Schema, stages: Sequence[StagePlan]) -> Plan:
    """Cut a checked recipe into passes and legs.

    Args:
        source: the source, whose config is a ``SourceConfig``.
        schema: the columns the source gives.
        stages: in the recipe's order; their names are unique.

    Returns:
        The plan. The source rides in the first leg.
    """
    assert isinstance(source.config, SourceConfig)
    identity = {k: v for k, v in source.config.identity().items() if k not in _WHERE}
    return _Compiler(digest("", [{"source": identity}]), source, schema).compile(stages)


class _Compiler:
    """Walks the stages once, carrying the fingerprint and the columns that exist so far."""

    def __init__(self, fingerprint: str, source: StagePlan, schema: pa.Schema) -> None:
        self.fingerprint = fingerprint
        self.source = source
        self.source_schema = with_text_fields(schema)
        self.fields: dict[str, pa.Field] = {field.name: field for field in self.source_schema}

    def compile(self, stages: Sequence[StagePlan]) -> Plan:
        passes = []
        for index, (group, barrier) in enumerate(_split_at_barriers(stages)):
            groups = _split_by_resources(group, first=index == 0)
            legs = self._legs(index, groups, [barrier] if barrier else [])
            passes.append(PassPlan(index, legs, self._barrier(index, barrier)))
        keys = [columns.PARTITION, columns.ROW]
        assert isinstance(self.source.config, SourceConfig)
        return Plan(
            source=self.source.config,
            source_schema=self.source_schema,
            passes=tuple(passes),
            schema=pa.schema([*keys, *self.fields.values()]),
        )

    def _legs(
        self, index: int, groups: Sequence[Sequence[StagePlan]], barrier: Sequence[StagePlan]
    ) -> tuple[LegPlan, ...]:
        """Plan the legs of a pass; its barrier's sketch is drawn by the last one."""
        legs = []
        for number, group in enumerate(groups):
            last = number == len(groups) - 1
            reads = _reads_from_before([*group, *(barrier if last else [])])
            later = [stage for rest in groups[number + 1 :] for stage in rest]
            hands_on = _reads_from_before([*later, *barrier])
            for stage in group:
                for field in stage.config.writes:
                    self.fields.pop(field.name, None)
                    self.fields[field.name] = field
            added = [field for stage in group for field in stage.config.writes]
            if any(stage.config.role == "text_filter" for stage in group):
                added.append(columns.TEXT_REASONS)
            names = [stage.name for stage in group]
            if index == number == 0:
                added = [*self.source_schema, *added]
                names = [self.source.name, *names]
            self.fingerprint = digest(self.fingerprint, [stage_identity(s) for s in group])
            node = Node(
                folder=f"passes/{index}/leg-{number}-{self.fingerprint[:8]}",
                fingerprint=self.fingerprint,
                stages=tuple(names),
                schema=pa.schema(list({field.name: field for field in added}.values())),
            )
            resources = next(
                (s.config.resources for s in group if not s.config.resources.light), Resources()
            )
            legs.append(LegPlan(node, tuple(group), resources, reads, hands_on))
        return tuple(legs)

    def _barrier(self, index: int, stage: StagePlan | None) -> BarrierPlan | None:
        if stage is None:
            return None
        self.fingerprint = digest(self.fingerprint, [stage_identity(stage)])
        folder = f"passes/{index}/barrier-{stage.name}-{self.fingerprint[:8]}"
        return BarrierPlan(Node(folder, self.fingerprint, (stage.name,), None), stage)


def with_text_fields(schema: pa.Schema) -> pa.Schema:
    """Return the schema with all four text columns, as the engine completes a source's rows."""
    missing = [field for field in columns.TEXT_FIELDS if field.name not in schema.names]
    return pa.schema([*schema, *missing])


def stage_identity(stage: StagePlan) -> dict[str, Any]:
    """Return what decides a stage's output, for a fingerprint."""
    return {"stage": f"{stage.family}/{stage.kind}", "name": stage.name, **stage.config.identity()}


def _split_at_barriers(
    stages: Sequence[StagePlan],
) -> list[tuple[list[StagePlan], StagePlan | None]]:
    groups: list[tuple[list[StagePlan], StagePlan | None]] = []
    current: list[StagePlan] = []
    for stage in stages:
        if stage.config.role == "barrier":
            groups.append((current, stage))
            current = []
        else:
            current.append(stage)
    if current or not groups:
        groups.append((current, None))
    return groups


def _split_by_resources(group: Sequence[StagePlan], *, first: bool) -> list[list[StagePlan]]:
    """Cut a pass where resources change, and ahead of light stages that must not ride behind."""
    legs: list[list[StagePlan]] = [[]] if first or group else []
    held = Resources()
    for stage in group:
        wanted = stage.config.resources
        rides_behind = wanted.light and (held.light or stage.config.role == "row_filter")
        joins = not wanted.light and (held.light or held == wanted)
        if not (rides_behind or joins):
            legs.append([])
            held = Resources()
        legs[-1].append(stage)
        held = held if wanted.light else wanted
    return legs


def _reads_from_before(stages: Iterable[StagePlan]) -> tuple[str, ...]:
    """Columns that must come from before the first of these stages, in a stable order."""
    needed: dict[str, None] = {}
    written: set[str] = set()
    for stage in stages:
        names = list(stage.config.reads)
        parallel = any(columns.is_parallel(field) for field in stage.config.writes)
        if parallel or stage.config.role == "text_filter":
            names += [field.name for field in columns.TEXT_FIELDS]
        needed.update(dict.fromkeys(n for n in names if n not in written))
        if stage.config.role != "text_filter":
            written |= {field.name for field in stage.config.writes}
    return tuple(name for name in needed if name not in columns.KEYS)


def digest(previous: str, parts: Sequence[Mapping[str, Any]]) -> str:
    """Return a step's fingerprint, hex: the one before it and what the step is."""
    text = json.dumps([previous, *parts], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
