"""Checks of a plan: columns are written before they are read, and who shares stands together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from curate.core import columns
from curate.core.errors import Problem, nearest
from curate.core.plan import Plan, StagePlan


def check_columns(schema: pa.Schema, stages: Sequence[StagePlan]) -> list[Problem]:
    """Check that every stage reads columns somebody before it writes.

    Args:
        schema: the source's columns.
        stages: in the recipe's order.

    Returns:
        One problem per missing column, with the nearest names that exist by then.
    """
    have = {*schema.names, *columns.KEYS, *(field.name for field in columns.TEXT_FIELDS)}
    problems = []
    for stage in stages:
        for name in stage.config.reads:
            if name not in have:
                problems.append(
                    Problem(
                        f"{stage.name} reads the column {name!r}, which no stage before it writes",
                        stage.key,
                        stage.line,
                        _who_writes(name, stages) or nearest(name, have),
                    )
                )
        for field in stage.config.writes:
            if field.name in have and not _may_replace(field):
                problems.append(
                    Problem(
                        f"{stage.name} writes the column {field.name!r}, which is there already",
                        stage.key,
                        stage.line,
                        "give the stage another name with 'as'",
                    )
                )
        have |= {field.name for field in stage.config.writes}
    return problems


def check_beside(plan: Plan) -> list[Problem]:
    """Check that stages which share something with another stand behind it in one leg.

    Returns:
        One problem per stage that does not.
    """
    problems = []
    for leg in (leg for each in plan.passes for leg in each.legs):
        before: list[str] = []
        for stage in leg.stages:
            beside = stage.config.beside
            if beside is not None and beside not in before:
                problems.append(
                    Problem(
                        f"{stage.name} shares with {beside!r}, which does not stand before it in "
                        f"one leg (its leg is {leg.name})",
                        stage.key,
                        stage.line,
                        "both need the same model, revision, device, num_cpus and num_gpus, and "
                        "no text filter between them",
                    )
                )
            before.append(stage.name)
    return problems


def _may_replace(field: pa.Field) -> bool:
    return field.name in columns.STANDARD


def _who_writes(name: str, stages: Iterable[StagePlan]) -> str:
    for stage in stages:
        if any(field.name == name for field in stage.config.writes):
            return f"{stage.name} at {stage.key} writes it: move it ahead"
    if name == "image":
        return "a download stage writes it: 'fetch' for a list of URLs, 'load' for local files"
    return ""
