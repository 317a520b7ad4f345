"""Commands that turn the loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from curate.loop_config import LoopConfig
    from curate.outcome import Reporter

Config = TypeVar("Config", bound="LoopConfig")
Result = TypeVar("Result")


@click.command(name="bootstrap")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="The loop's folder.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. rounds=3.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def bootstrap_command(
    recipe: Path, output: Path | None, sets: Sequence[str], as_json: bool
) -> None:
    """Pretrain, fine-tune captioner and filter, caption and filter, pretrain anew; round by round.

    The same command continues what was stopped.
    """
    from curate.bootstrap import bootstrap, table_of
    from curate.loop_config import BootstrapConfig

    config, result, out = _turned(BootstrapConfig, bootstrap, recipe, output, sets, as_json)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
        return
    out.print(f"\n{table_of(result)}", highlight=False)
    out.print(f"written to {config.output / 'bootstrap.md'}", highlight=False)
    out.print("try next", style="bold")
    out.print(f"  curate status {config.output / 'run'}", highlight=False)
    if result.rounds:
        last = result.rounds[-1].selection
        out.print(f"  curate export {config.output / 'run'} --selection {last}", highlight=False)


@click.command(name="prove")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="The experiment's folder.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. seeds=[0].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def prove_command(recipe: Path, output: Path | None, sets: Sequence[str], as_json: bool) -> None:
    """Train on differently made sets at equal steps, several times, and compare with intervals.

    The same command continues what was stopped.
    """
    from curate.loop_config import ProveConfig
    from curate.proof_report import table_of
    from curate.prove import prove

    config, proof, out = _turned(ProveConfig, prove, recipe, output, sets, as_json)
    if as_json:
        click.echo(json.dumps(proof.to_json(), indent=1))
        return
    out.print(f"\n{table_of(proof)}", highlight=False)
    out.print(f"written to {config.output / 'proof.md'} and proof.svg", highlight=False)


def _turned(
    kind: type[Config],
    turn: Callable[[Config, Reporter], Result],
    recipe: Path,
    output: Path | None,
    sets: Sequence[str],
    as_json: bool,
) -> tuple[Config, Result, Console]:
    """Read a recipe of this kind and turn its loop; returns the recipe, the result, a console."""
    from curate.console import console
    from curate.loop_config import load_loop
    from curate.terminal import Terminal

    config = load_loop(kind, recipe, output=output, sets=sets)
    out = console(as_json)
    out.print(f"{config.name}: {recipe} -> {config.output}", style="bold", highlight=False)
    with Terminal(out) as terminal:
        return config, turn(config, terminal), out
