"""How far a run is, read from its folder alone; works while the run goes on."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from curate.amounts import size_text
from curate.core.lease import owner_of
from curate.core.location import StorePath
from curate.core.plan import Node
from curate.core.selection import Selection, list_selections
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.core.totals import totals_of


def run_status(root: StorePath) -> dict[str, Any]:
    """Return the state of a run as plain values.

    Raises:
        StoreError: the folder holds no run.
    """
    table = CommittedTable.open(root)
    store = table.store
    register = store.register()
    return {
        "run": str(root),
        "name": table.facts["name"],
        "owner": owner_of(root),
        "rows": register.num_rows,
        "partitions": register.num_partitions,
        "steps": [_step(store, node) for node in table.nodes],
        "added": [_step(store, one.node) for one in table.added],
        "quarantined": [
            {
                "partition": number,
                "leg": facts["leg"],
                "where": facts["where"],
                "error": facts["error"],
            }
            for node in (*table.nodes, *(one.node for one in table.added))
            if node.is_leg
            for number, facts in store.quarantined(node).items()
        ],
        "selections": {
            name: {"texts": facts["texts"], "selected": sum(facts["selected"].values())}
            for name, facts in (
                (name, Selection.open(root, name).facts) for name in list_selections(store)
            )
        },
    }


def _step(store: RunStore, node: Node) -> dict[str, Any]:
    totals, complete = totals_of(store, node)
    return {
        "step": "+".join(node.stages),
        "kind": "leg" if node.is_leg else "barrier",
        "complete": complete,
        **totals.to_json(),
    }


def print_status(console: Console, facts: dict[str, Any]) -> None:
    """Print the state of a run."""
    owner = facts["owner"]
    running = f", running as process {owner['pid']} on {owner['host']}" if owner else ""
    console.print(
        f"{facts['name']}: {facts['run']}, {facts['rows']:,} rows in "
        f"{facts['partitions']:,} partitions{running}",
        style="bold",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("step", "partitions", "rows in", "dropped", "rows on", "written", ""):
        table.add_column(name, justify="left" if name in ("step", "") else "right")
    for step in (*facts["steps"], *facts["added"]):
        dropped = sum(sum(reasons.values()) for reasons in step["dropped"].values())
        table.add_row(
            step["step"] + (" (added)" if step in facts["added"] else ""),
            f"{step['partitions']:,}",
            f"{step['rows_in']:,}",
            f"{dropped:,}",
            f"{step['rows_out']:,}",
            size_text(step["bytes_written"]),
            "done" if step["complete"] else "",
        )
    console.print(table)
    for entry in facts["quarantined"]:
        console.print(
            f"set aside {entry['where']} in {entry['leg']}: {entry['error']}",
            style="yellow",
            highlight=False,
        )
    for name, counts in facts["selections"].items():
        console.print(
            f"selection {name!r}: {counts['selected']:,} of {counts['texts']:,} texts",
            highlight=False,
        )
