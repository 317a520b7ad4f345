"""The plan as a person or a script reads it. Imports neither torch nor Ray."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from curate.core.atomic import exists
from curate.core.plan import LegPlan, Node, Plan
from curate.core.resources import Resources
from curate.core.store import RunStore
from curate.recipe import Recipe


def plan_json(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """Return passes, legs, columns, resources and what is done, as plain values."""
    store = RunStore(recipe.output)
    register = store.register()
    return {
        "name": recipe.name,
        "output": str(recipe.output),
        "partitions_known": register.num_partitions,
        "rows_known": register.num_rows,
        "passes": [
            {
                "legs": [_leg_json(store, leg) for leg in one.legs],
                "barrier": None
                if one.barrier is None
                else {
                    "stage": one.barrier.stage.name,
                    "reads": list(one.barrier.stage.config.reads),
                    "done": exists(store.done_file(one.barrier.node)),
                },
            }
            for one in plan.passes
        ],
        "cautions": cautions(recipe),
        "columns": [{"name": field.name, "type": str(field.type)} for field in plan.schema],
    }


def cautions(recipe: Recipe) -> list[str]:
    """Return what a person should know before a recipe runs, each with its stage."""
    return [
        f"{stage.name}: {caution}" for stage in recipe.stages for caution in stage.config.cautions()
    ]


def print_cautions(console: Console, recipe: Recipe) -> None:
    """Print them where nobody overlooks them; nothing where there are none."""
    for caution in cautions(recipe):
        console.print(f"CAUTION  {caution}", style="bold red", highlight=False)


def _leg_json(store: RunStore, leg: LegPlan) -> dict[str, Any]:
    return {
        "stages": list(leg.node.stages),
        "fingerprint": leg.node.fingerprint,
        "reads": list(leg.reads),
        "adds": _columns(leg.node),
        "resources": _resources(leg.resources),
        "partitions_done": len(store.committed(leg.node)),
    }


def print_plan(console: Console, recipe: Recipe, plan: Plan) -> None:
    """Print the plan."""
    facts = plan_json(recipe, plan)
    known = facts["partitions_known"]
    console.print(f"{recipe.name} -> {recipe.output}", style="bold", highlight=False)
    console.print(
        f"  source {recipe.source.kind}: {len(plan.source_schema)} columns, "
        + (
            f"{facts['rows_known']:,} rows in {known:,} partitions known"
            if known
            else "not read yet"
        ),
        highlight=False,
    )
    print_cautions(console, recipe)
    for index, one in enumerate(facts["passes"]):
        console.print(f"\npass {index}", style="bold", highlight=False)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("  leg", "stages", "adds", "one worker takes", "done"):
            table.add_column(name, overflow="fold")
        for number, leg in enumerate(one["legs"]):
            done = f"{leg['partitions_done']:,} of {known:,}" if known else "-"
            stages, adds = " > ".join(leg["stages"]), ", ".join(leg["adds"]) or "(drops rows only)"
            table.add_row(f"  {number}", stages, adds, leg["resources"], done)
        console.print(table)
        if one["barrier"]:
            state = "done" if one["barrier"]["done"] else "not done"
            reads = ", ".join(one["barrier"]["reads"])
            console.print(
                f"  barrier {one['barrier']['stage']}: reads {reads}; {state}", highlight=False
            )
    console.print(
        f"\ncolumns  {', '.join(column['name'] for column in facts['columns'])}", highlight=False
    )
    console.print(f"engine   {recipe.engine.kind}", highlight=False)
    for label, after in (
        ("select", [recipe.select]),
        ("sinks", recipe.sinks),
        ("export", recipe.export),
    ):
        kinds = [stage.kind for stage in after if stage is not None]
        if kinds:
            console.print(f"{label:<8} {', '.join(kinds)}", highlight=False)


def _columns(node: Node) -> list[str]:
    return [] if node.schema is None else list(node.schema.names)


def _resources(resources: Resources) -> str:
    if resources.light:
        return "next to nothing"
    parts = [f"{resources.num_cpus:g} CPU"] if resources.num_cpus else []
    if resources.num_gpus:
        parts.append(
            f"{resources.num_gpus:g} GPU" + (" if there is one" if resources.gpu_optional else "")
        )
    if resources.memory_gib:
        parts.append(f"{resources.memory_gib:g} GiB")
    if resources.network:
        parts.append("network")
    return ", ".join(parts)
