"""Scores added to a finished run: scorers that stand beside its steps and are not of them.

A recipe's steps follow each other: what one stops, the next never sees. An added scorer only adds
numbers. It reads what the last step left, is committed in a folder of its own, ``added/NAME-...``,
and its columns are joined on (partition, row) when the table is read, null where it has said
nothing. So the table keeps its rows whatever becomes of the scorer, and what rests on the table (a
selection, an export) stays good. Added scorers do not depend on each other: each is fingerprinted
by itself and the run's last step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.core import columns
from curate.core.plan import LegPlan, Node, PassPlan, Plan, StagePlan, digest, stage_identity
from curate.core.plan_codec import node_from_json, node_json

#: Key of ``plan.json`` under which added scorers stand.
KEY = "added"


@dataclass(frozen=True, slots=True)
class AddedScore:
    """A scorer that was added to a run, as ``plan.json`` holds it.

    Attributes:
        stage: its kind and options, as a recipe would say them.
        node: its folder, fingerprint and columns.
    """

    stage: Mapping[str, Any]
    node: Node

    @property
    def name(self) -> str:
        """The scorer's name."""
        return self.node.stages[0]


def added_of(facts: Mapping[str, Any]) -> tuple[AddedScore, ...]:
    """Return the scorers that were added to a run, in the order in which they were.

    Args:
        facts: of its ``plan.json``.
    """
    return tuple(
        AddedScore(one["stage"], node_from_json(one["node"])) for one in facts.get(KEY, ())
    )


def with_added(facts: Mapping[str, Any], added: Iterable[AddedScore]) -> dict[str, Any]:
    """Return a run's facts with other added scorers."""
    kept = {key: value for key, value in facts.items() if key != KEY}
    values = [{"stage": dict(one.stage), "node": node_json(one.node)} for one in added]
    return {**kept, KEY: values} if values else kept


def plan_added(nodes: Sequence[Node], schema: pa.Schema, stage: StagePlan) -> Plan:
    """Plan a scorer over a finished table: one pass of one leg behind the steps there are.

    Args:
        nodes: the run's steps, without added scorers.
        schema: columns of the finished table, without added ones.
        stage: the scorer.
    """
    fingerprint = digest(nodes[-1].fingerprint, [stage_identity(stage)])
    node = Node(
        folder=f"added/{stage.name}-{fingerprint[:8]}",
        fingerprint=fingerprint,
        stages=(stage.name,),
        schema=pa.schema(list(stage.config.writes)),
    )
    names = [*stage.config.reads, *(field.name for field in columns.TEXT_FIELDS)]
    reads = tuple(name for name in dict.fromkeys(names) if name not in columns.KEYS)
    leg = LegPlan(node, (stage,), stage.config.resources, reads, ())
    return Plan(
        source=None,
        source_schema=schema,
        passes=(PassPlan(0, (leg,), None),),
        schema=pa.schema([*schema, *stage.config.writes]),
        earlier=tuple(nodes),
    )
