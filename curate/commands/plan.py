"""The command ``curate plan``: what a recipe will do, and by a sample what that will take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.console import console
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from curate.core.location import StorePath
    from curate.recipe import Recipe

#: Options that are about the prediction, and mean nothing without one.
_OF_THE_PROBE = ("again", "cpus", "gpus", "workers", "price_per_gpu_hour", "price_per_cpu_hour")


@click.command(name="plan")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Where the work is to be done.")
@click.option("--output", type=RUN_FOLDER, help="The run's folder; a path or a URL.")
@click.option(
    "--probe",
    type=click.IntRange(32, 1_000_000),
    metavar="ROWS",
    help="Take so many rows through the recipe and predict time, devices, disk and cost.",
)
@click.option("--again", is_flag=True, help="Measure again what was measured before.")
@click.option("--cpus", type=click.FloatRange(0, min_open=True), help="Cores of the Ray cluster.")
@click.option("--gpus", type=click.FloatRange(0), help="GPUs of the Ray cluster.")
@click.option(
    "--workers",
    multiple=True,
    metavar="STAGE=NUMBER",
    help="Workers of a leg, by a stage of it, e.g. fetch=8.",
)
@click.option("--price-per-gpu-hour", type=click.FloatRange(0), help="Of one GPU.")
@click.option("--price-per-cpu-hour", type=click.FloatRange(0), help="Of one core.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. stages[1].resize=256."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def plan_command(
    recipe: Path,
    engine: str | None,
    output: StorePath | None,
    probe: int | None,
    sets: Sequence[str],
    as_json: bool,
    **of_the_probe: Any,
) -> None:
    """Show passes, legs, columns, resources and what is done; loads no model.

    With --probe a sample, drawn from all over the source, is taken through the recipe in a
    temporary folder; the run's own is not touched.
    """
    from curate import recipe as recipes

    given = [name for name in _OF_THE_PROBE if of_the_probe[name] not in (None, False, ())]
    if given and probe is None:
        option = f"--{given[0].replace('_', '-')}"
        raise click.UsageError(f"{option} is about a prediction: give --probe as well")
    sets = [*sets, *(_workers(one) for one in of_the_probe["workers"])]
    loaded = recipes.load(recipe, engine=engine, output=output, sets=sets)
    if probe is not None:
        _predict(loaded, recipe, sets, probe, as_json, of_the_probe)
        return
    from curate.commands.plan_view import plan_json, print_plan
    from curate.run import practice_list

    practice_list(loaded)
    compiled = loaded.plan()
    if as_json:
        click.echo(json.dumps(plan_json(loaded, compiled), indent=1))
    else:
        print_plan(console(False), loaded, compiled)


def _workers(text: str) -> str:
    stage, equals, number = text.partition("=")
    if not (stage and equals and number.isdigit() and int(number)):
        raise click.UsageError(f"--workers {text!r} is not of the form STAGE=NUMBER, e.g. fetch=8")
    return f"engine.workers.{stage}={number}"


def _predict(
    loaded: Recipe,
    recipe: Path,
    sets: Sequence[str],
    rows: int,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    from curate.commands.plan_view import print_cautions
    from curate.commands.probe_view import cautions, free_bytes, print_prediction
    from curate.core.machine import cores
    from curate.engine.pools import Cluster
    from curate.probe.measure import cache_folder, measure
    from curate.probe.predict import predict
    from curate.probe.prediction import Prices

    unused = [name for name in ("cpus", "gpus", "workers") if options[name] not in (None, ())]
    if loaded.engine.kind == "local" and unused:
        raise click.UsageError(
            f"--{unused[0]} is for a cluster, and the local engine has one worker a leg in this "
            "process: add --engine ray"
        )
    out = console(as_json)
    out.print(f"{loaded.name} -> {loaded.output}", style="bold", highlight=False)
    print_cautions(out, loaded)
    cache = cache_folder()
    measured, plan = measure(
        recipe,
        sets,
        rows,
        lambda line: out.print(f"  {line}", style="dim", highlight=False),
        cache=cache,
        again=options["again"],
    )
    cpus, gpus = options["cpus"] or cores(), options["gpus"]
    cluster = Cluster(cpus, measured.gpus if gpus is None else gpus)
    prices = Prices(options["price_per_gpu_hour"] or 0.0, options["price_per_cpu_hour"] or 0.0)
    said = predict(measured, plan, loaded.engine, cluster, prices)
    if not as_json:
        print_prediction(out, measured, said, loaded.output)
        return
    facts = {
        "name": loaded.name,
        "output": str(loaded.output),
        "bytes_free": free_bytes(loaded.output),
        "prediction": {**said.to_json(), "cautions": cautions(said, loaded.output)},
        "measured": measured.model_dump(mode="json"),
    }
    click.echo(json.dumps(facts, indent=1))
