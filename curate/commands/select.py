"""The command ``curate select``: decide again, list what was decided, compare two selections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from curate.console import console
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from curate.core.location import StorePath
    from curate.core.table import CommittedTable


_SAMPLES = 5


@click.command(name="select")
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.option("--kind", help="A selector; see 'curate list selectors'.")
@click.option("--name", help="Name of the new selection.")
@click.option("--list", "list_them", is_flag=True, help="Name the run's selections.")
@click.option(
    "--diff", nargs=2, metavar="A B", help="Compare two selections of the run, text by text."
)
@click.option(
    "--samples",
    type=click.IntRange(0, 1000),
    help="With --diff: pairs to show of those that A keeps alone, and of those that B does "
    f"({_SAMPLES}).",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Option of the selector.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def select_command(
    run_folder: StorePath,
    kind: str | None,
    name: str | None,
    list_them: bool,
    diff: tuple[str, str] | None,
    samples: int | None,
    sets: Sequence[str],
    as_json: bool,
) -> None:
    """Decide again from stored scores: no GPU, nothing fetched or rewritten.

    With --list or --diff nothing is decided: what is there is shown.
    """
    from curate.core.table import CommittedTable

    _check(kind, name, sets, samples, list_them=list_them, diff=diff)
    table = CommittedTable.open(run_folder)
    if diff is not None:
        _diff(table, diff, _SAMPLES if samples is None else samples, as_json)
    elif list_them:
        _list(table, as_json)
    else:
        assert kind is not None and name is not None
        _select(table, kind, name, sets, as_json)


def _check(
    kind: str | None,
    name: str | None,
    sets: Sequence[str],
    samples: int | None,
    *,
    list_them: bool,
    diff: tuple[str, str] | None,
) -> None:
    """Check that one thing is wanted, and all that it needs is given."""
    deciding = bool(kind or name or sets)
    if list_them + (diff is not None) + deciding > 1:
        raise click.UsageError("decide (--kind, --name), --list or --diff: one of them at a time")
    if samples is not None and diff is None:
        raise click.UsageError("--samples goes with --diff")
    if not list_them and diff is None and (kind is None or name is None):
        missing = "--kind" if kind is None else "--name"
        raise click.UsageError(
            f"{missing} is missing: a selection is made by --kind and --name; --list and --diff "
            "show what is there"
        )


def _select(
    table: CommittedTable, kind: str, name: str, sets: Sequence[str], as_json: bool
) -> None:
    from curate.after_passes import select_texts
    from curate.recipe import parse_stage
    from curate.summary import print_selection

    selector = parse_stage({"kind": kind}, sets, "selectors", scores=table.score_names)
    selection, _ = select_texts(selector, table, name)
    if as_json:
        click.echo(json.dumps({"name": name, **selection.facts}, indent=1))
    else:
        print_selection(console(False), selection)


def _list(table: CommittedTable, as_json: bool) -> None:
    from curate.core.selection import Selection, list_selections

    found = [Selection.open(table.store.root, name) for name in list_selections(table.store)]
    facts = [
        {
            "name": one.name,
            "kind": _kind(one.facts),
            "settings": _settings(one.facts),
            "texts": one.facts["texts"],
            "selected": one.selected,
            "current": one.is_of(table),
        }
        for one in found
    ]
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    if not facts:
        click.echo(f"{table.store.root} has no selection")
    for said in facts:
        settings = ", ".join(f"{key} {value}" for key, value in said["settings"].items())
        old = "" if said["current"] else "; decided on an earlier table"
        click.echo(
            f"{said['name']}: {said['selected']:,} of {said['texts']:,} texts by "
            f"{said['kind']} ({settings}){old}"
        )


def _kind(facts: Any) -> str:
    return str(facts["settings"].get("stage", "?")).rpartition("/")[2]


def _settings(facts: Any) -> dict[str, Any]:
    """Return a selector's settings: those that are set, without what identifies its code."""
    return {
        key: value
        for key, value in facts["settings"].items()
        if key not in ("stage", "name", "version") and value is not None
    }


def _diff(table: CommittedTable, names: tuple[str, str], samples: int, as_json: bool) -> None:
    from curate.core.selection import Selection
    from curate.inspection.selection_diff import compare_selections

    first, second = (Selection.open(table.store.root, name) for name in names)
    said = compare_selections(table, first, second, samples=samples)
    if as_json:
        click.echo(json.dumps(said.to_json(), indent=1, ensure_ascii=False))
    else:
        from curate.commands.diff_view import print_diff

        print_diff(console(False), said)
