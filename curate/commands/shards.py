"""Commands on shards, ours or somebody else's: read them back, start a recipe from them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@click.command(name="validate")
@click.argument("shards", type=click.Path(path_type=Path))
@click.option("--loader", help="Which library reads, e.g. open_clip; the format's own by default.")
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="Interpreter of an environment that has the library.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Seconds without a sample after which the loader counts as hanging.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="Pictures decoded at the same time.",
)
@_JSON
def validate_command(
    shards: Path,
    loader: str | None,
    python: Path | None,
    timeout_s: float,
    threads: int,
    as_json: bool,
) -> None:
    """Read shards back with the trainer's own loader; exit code 1 on the first fault."""
    from curate.readback.validate import validate

    verdict = validate(shards, loader=loader, python=python, timeout_s=timeout_s, threads=threads)
    if as_json:
        click.echo(json.dumps(verdict.as_json(), indent=1, ensure_ascii=False))
    else:
        click.echo(verdict)
    if verdict.fault is not None:
        sys.exit(1)


@click.command(name="import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The run's name; made of the path by default.")
@click.option("--output", type=click.Path(path_type=Path), help="The run's folder.")
def import_command(path: Path, name: str | None, output: Path | None) -> None:
    """Look at somebody's data and print a recipe that begins with it.

    Knows WebDataset tars, img2dataset's output, DataComp pools and metadata, lists of URLs and
    folders of pictures.
    """
    from curate.imports import look, name_of, recipe_text

    found = look(path)
    chosen = name or name_of(path)
    click.echo(recipe_text(found, chosen, str(output or f"runs/{chosen}")), nl=False)
    click.echo(f"{path}: {found.what}", err=True)
    click.echo("keep what is printed as recipe.yaml; then: curate plan recipe.yaml", err=True)
