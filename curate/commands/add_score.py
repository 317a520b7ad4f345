"""The command ``curate add-score``: one more scorer over a finished run, as new columns."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.console import console
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from curate.added_scores import Scored
    from curate.core.location import StorePath
    from curate.core.plan import StagePlan
    from curate.engine.base import EngineConfig
    from curate.terminal import Terminal


@click.command(name="add-score")
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--kind", help="A scorer instead of a recipe; see 'curate list scorers'.")
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Where the work is done.")
@click.option("--replace", is_flag=True, help="A scorer of the same name, added earlier, goes.")
@click.option("--remove", metavar="NAME", help="Take an added scorer's columns out again.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the scorer with --kind (model=...), else of the recipe (stages[0].as=...).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def add_score_command(
    run_folder: StorePath,
    recipe: Path | None,
    kind: str | None,
    engine: str | None,
    replace: bool,
    remove: str | None,
    sets: Sequence[str],
    as_json: bool,
) -> None:
    """Score a finished run by another model: nothing is fetched, captioned or rewritten.

    The new columns stand beside the others for every reader: select, report, export, open_run.
    The same command goes on where it was stopped.
    """
    if (recipe is not None) + (kind is not None) + (remove is not None) != 1:
        raise click.UsageError("give one of: a RECIPE with scorers, --kind SCORER, --remove NAME")
    if remove is not None:
        if sets or engine or replace:
            raise click.UsageError("--remove stands alone: it takes no --set, --engine, --replace")
        _remove(run_folder, remove, as_json)
        return
    # a scheduler's SIGTERM is a request to stop, as Ctrl-C is
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stages, settings = _scorers(recipe, kind, engine, sets)
    scored = _add(run_folder, stages, settings, replace, as_json)
    if as_json:
        click.echo(json.dumps({"added": [asdict(one) for one in scored]}, indent=1))
    if any(one.quarantined for one in scored):
        sys.exit(3)


def _remove(run_folder: StorePath, name: str, as_json: bool) -> None:
    from curate.added_scores import refresh_view, remove_score

    gone = remove_score(run_folder, name)
    refresh_view(run_folder, lambda done, total: None)
    if as_json:
        click.echo(json.dumps({"removed": name, "folder": gone.node.folder}))
    else:
        click.echo(
            f"{name} is no column any more; its numbers stay in {run_folder / gone.node.folder} "
            "and are found again when it is added again"
        )


def _scorers(
    recipe: Path | None, kind: str | None, engine: str | None, sets: Sequence[str]
) -> tuple[list[StagePlan], EngineConfig]:
    from curate.engine.base import EngineConfig
    from curate.recipe import parse_stage
    from curate.scorer_recipe import read_scorers

    if recipe is not None:
        return read_scorers(recipe, sets, engine=engine)
    stage = parse_stage({"kind": kind}, sets, "scorers", scores=())
    return [stage], EngineConfig.model_validate({"kind": engine} if engine else {})


def _add(
    run_folder: StorePath,
    stages: Sequence[StagePlan],
    settings: EngineConfig,
    replace: bool,
    as_json: bool,
) -> list[Scored]:
    from curate.added_scores import add_scores, refresh_view
    from curate.run import lazy_engine
    from curate.terminal import Terminal

    out = console(as_json)
    for stage in stages:
        for line in stage.config.cautions():
            out.print(f"{stage.name}: {line}", style="yellow", highlight=False)
    with Terminal(out) as terminal, lazy_engine(settings, terminal) as engine:
        scored = add_scores(run_folder, stages, engine, terminal, replace_present=replace)
        refresh_view(run_folder, lambda done, total: terminal.step("lance", done, total))
        for one in scored:
            _say(terminal, one)
    return scored


def _say(terminal: Terminal, one: Scored) -> None:
    done = f"{one.rows:,} rows scored"
    if one.worked == 0 and not one.quarantined:
        done = "nothing to do: it was there already"
    terminal.step_done(one.name, f"{', '.join(one.columns)}: {done}")
    for reason, count in sorted(one.dropped.items()):
        terminal.step_done(one.name, f"{count:,} rows stay without a number: {reason}")
    for number, error in sorted(one.quarantined.items()):
        terminal.step_done(one.name, f"partition {number} was set aside: {error}")
    if one.quarantined:
        hint = "'curate run RECIPE --retry quarantined', with the run's recipe, takes them up again"
        terminal.step_done(one.name, hint)
