"""Commands that turn the loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click


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
    from rich.console import Console

    from curate.bootstrap import bootstrap, table_of
    from curate.loop_config import BootstrapConfig, load_loop
    from curate.terminal import Terminal

    config = load_loop(BootstrapConfig, recipe, output=output, sets=sets)
    console = Console(stderr=as_json, soft_wrap=True, markup=False, emoji=False)
    console.print(f"{config.name}: {recipe} -> {config.output}", style="bold", highlight=False)
    with Terminal(console) as terminal:
        result = bootstrap(config, terminal)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
        return
    console.print()
    console.print(table_of(result), highlight=False)
    console.print(f"written to {config.output / 'bootstrap.md'}", highlight=False)
    console.print("try next", style="bold")
    console.print(f"  curate status {config.output / 'run'}", highlight=False)
    if result.rounds:
        last = result.rounds[-1].selection
        console.print(
            f"  curate export {config.output / 'run'} --selection {last}", highlight=False
        )


@click.command(name="prove")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="The experiment's folder.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. seeds=[0].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def prove_command(recipe: Path, output: Path | None, sets: Sequence[str], as_json: bool) -> None:
    """Train on differently made sets at equal steps, several times, and compare with intervals.

    The same command continues what was stopped.
    """
    from rich.console import Console

    from curate.loop_config import ProveConfig, load_loop
    from curate.proof_report import table_of
    from curate.prove import prove
    from curate.terminal import Terminal

    config = load_loop(ProveConfig, recipe, output=output, sets=sets)
    console = Console(stderr=as_json, soft_wrap=True, markup=False, emoji=False)
    console.print(f"{config.name}: {recipe} -> {config.output}", style="bold", highlight=False)
    with Terminal(console) as terminal:
        proof = prove(config, terminal)
    if as_json:
        click.echo(json.dumps(proof.to_json(), indent=1))
        return
    console.print()
    console.print(table_of(proof), highlight=False)
    console.print(f"written to {config.output / 'proof.md'} and proof.svg", highlight=False)
