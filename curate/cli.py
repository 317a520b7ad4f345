"""The command line. Heavy imports wait inside the commands, so that help comes at once."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.calibrate import calibrate_command
from curate.commands.add_score import add_score_command
from curate.commands.doctor import doctor_command
from curate.commands.evaluate import evaluate_command
from curate.commands.forget import forget_command
from curate.commands.loops import bootstrap_command, prove_command
from curate.commands.plan import plan_command
from curate.commands.report import report_command
from curate.commands.select import select_command
from curate.commands.shards import import_command, validate_command
from curate.console import console
from curate.run_argument import RUN_FOLDER
from curate.status.command import status_command
from curate.view.command import view_command

if TYPE_CHECKING:
    from curate.core.families import Kind
    from curate.core.location import StorePath

_SET = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. stages[1].resize=256."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


class _Group(click.Group):
    """Turns our errors into one clear message and an exit code, and nothing else."""

    def invoke(self, ctx: click.Context) -> Any:
        from curate.core.errors import CurateError

        try:
            return super().invoke(ctx)
        except CurateError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo(
                "\nstopped; everything committed stays valid: the same command goes on", err=True
            )
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="curate")
def main() -> None:
    """Bootstrap clean image-text pairs from noisy web lists.

    Start with 'curate run pipelines/quickstart.yaml'.
    """


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Where the work is done.")
@click.option("--output", type=RUN_FOLDER, help="The run's folder; a path or a URL.")
@click.option(
    "--retry",
    metavar="REASONS",
    help="Try rows again by their reason in the ledger: timeout,dns or fetch:timeout; "
    "'quarantined' takes up partitions that were set aside.",
)
@_SET
@_JSON
def run(
    recipe: Path,
    engine: str | None,
    output: StorePath | None,
    retry: str | None,
    sets: Sequence[str],
    as_json: bool,
) -> None:
    """Run a recipe, or go on with it: the same command continues what was stopped."""
    from curate import recipe as recipes
    from curate.commands.plan_view import print_cautions
    from curate.outcome import result_json
    from curate.run import run as run_recipe
    from curate.summary import print_funnel, print_next, print_practice
    from curate.terminal import Terminal

    # a scheduler's SIGTERM is a request to stop, as Ctrl-C is
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    loaded = recipes.load(recipe, engine=engine, output=output, sets=sets)
    out = console(as_json)
    out.print(f"{loaded.name}: {recipe} -> {loaded.output}", style="bold", highlight=False)
    print_cautions(out, loaded)
    with Terminal(out) as terminal:
        reasons = [] if retry is None else [part.strip() for part in retry.split(",")]
        result = run_recipe(loaded, terminal, retry=[reason for reason in reasons if reason])
    if as_json:
        click.echo(json.dumps(result_json(result), indent=1, ensure_ascii=False))
    else:
        if result.nothing_to_do:
            out.print("nothing to do: everything was there already")
        print_funnel(out, result)
        if result.practice is not None:
            print_practice(out, result.practice)
        print_next(out, result)
    if result.passes.quarantined:
        sys.exit(3)


@main.command()
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.option("--kind", default="webdataset", show_default=True, help="An exporter.")
@click.option("--selection", default="default", show_default=True, help="Which selection.")
@_SET
@_JSON
def export(
    run_folder: StorePath, kind: str, selection: str, sets: Sequence[str], as_json: bool
) -> None:
    """Hand a selection to a trainer as shards."""
    from curate.after_passes import export_selection
    from curate.core.selection import Selection
    from curate.core.table import CommittedTable
    from curate.recipe import parse_stage
    from curate.terminal import Terminal

    table = CommittedTable.open(run_folder)
    exporter = parse_stage({"kind": kind}, sets, "exporters", scores=())
    chosen = Selection.open(run_folder, selection)
    with Terminal(console(as_json)) as terminal:
        manifest = export_selection(
            exporter, table, chosen, lambda done, total: terminal.step(kind, done, total)
        )
    if as_json:
        click.echo(json.dumps(manifest, indent=1))
    else:
        click.echo(
            f"{manifest['samples']:,} samples in {len(manifest['shards'])} shard(s): "
            f"{manifest['output']}"
        )


@main.command(name="pretrain")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--run", "run_folder", type=RUN_FOLDER, help="Train on its selection.")
@click.option("--selection", default="default", show_default=True, help="Which of the run's.")
@click.option("--workers", type=int, help="How many train together, on Ray.")
@_SET
@_JSON
def pretrain_command(
    recipe: Path,
    output: Path,
    run_folder: StorePath | None,
    selection: str,
    workers: int | None,
    sets: Sequence[str],
    as_json: bool,
) -> None:
    """Train a model on tables of images and captions, or on a run's selection."""
    from curate.pretrain.config import load_pretrain_recipe
    from curate.training import train

    more = () if workers is None else (f"workers.count={workers}",)
    config = load_pretrain_recipe(recipe, sets=[*sets, *more])
    source = None
    if run_folder is not None:
        from curate.core.selection import Selection
        from curate.core.selection_pairs import SelectionPairs
        from curate.core.table import CommittedTable

        table = CommittedTable.open(run_folder)
        chosen = Selection.open(run_folder, selection)
        source = SelectionPairs(table, chosen, score=config.data.score)
    train(config, output, source, lambda line: click.echo(line, err=as_json))
    if as_json:
        click.echo((output / "result.json").read_text(encoding="utf-8"))


@main.command(name="list")
@click.argument("family", required=False)
@_JSON
def list_command(family: str | None, as_json: bool) -> None:
    """Name what there is: 'curate list captioners'. Without a family, all of them."""
    from curate.core.families import FAMILIES, kinds

    found: dict[str, list[Kind]] = {
        name: list(kinds(name).values()) for name in ([family] if family else FAMILIES)
    }
    if as_json:
        named = {f: {kind.name: kind.summary() for kind in ks} for f, ks in found.items()}
        click.echo(json.dumps(named, indent=1))
        return
    for name, known in found.items():
        click.echo(click.style(name, bold=True))
        width = max((len(kind.name) for kind in known), default=0)
        for kind in known:
            click.echo(f"  {kind.name:<{width}}  {kind.summary()}")


main.add_command(add_score_command)
main.add_command(forget_command)
main.add_command(validate_command)
main.add_command(import_command)
main.add_command(calibrate_command)
main.add_command(plan_command)
main.add_command(select_command)
main.add_command(doctor_command)
main.add_command(bootstrap_command)
main.add_command(report_command)
main.add_command(evaluate_command)
main.add_command(status_command)
main.add_command(prove_command)
main.add_command(view_command)


if __name__ == "__main__":
    main()
