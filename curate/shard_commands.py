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
@_JSON
def validate_command(
    shards: Path, loader: str | None, python: Path | None, timeout_s: float, as_json: bool
) -> None:
    """Read shards back with the trainer's own loader; exit code 1 on the first fault."""
    from curate.readback.validate import validate

    verdict = validate(shards, loader=loader, python=python, timeout_s=timeout_s)
    if as_json:
        click.echo(json.dumps(verdict.as_json(), indent=1, ensure_ascii=False))
    else:
        click.echo(verdict)
    if verdict.fault is not None:
        sys.exit(1)
