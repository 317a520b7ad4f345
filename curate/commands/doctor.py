"""The command ``curate doctor``: what this machine and cluster can run, and what is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.console import console

if TYPE_CHECKING:
    from rich.console import Console

    from curate.doctor.findings import Finding

_STYLES = {"ok": "green", "warning": "yellow", "missing": "bold red"}


@click.command(name="doctor")
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--network", metavar="HOST", help="Look HOST up and connect to it, as a fetch would.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. engine.kind=ray."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def doctor_command(
    recipe: Path | None, network: str | None, sets: Sequence[str], as_json: bool
) -> None:
    """Look at packages, devices, memory, disks and Ray, and at what a RECIPE wants of them.

    Exit code 1 when something is missing without which curate, or the recipe, cannot run.
    """
    from curate.doctor.examine import examine

    if sets and recipe is None:
        raise click.UsageError("--set overrides a recipe's settings: give the recipe")
    out = console(as_json)
    findings = []
    for finding in examine(recipe, sets, network=network):
        findings.append(finding)
        if not as_json:
            before = findings[-2].area if len(findings) > 1 else ""
            _print(out, finding, begins=finding.area != before)
    fatal = [finding for finding in findings if finding.fatal]
    if as_json:
        facts = {"ready": not fatal, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        _print_end(out, findings, fatal)
    if fatal:
        sys.exit(1)


def _print(out: Console, finding: Finding, *, begins: bool) -> None:
    from rich.text import Text

    if begins:
        out.print(Text(finding.area, style="bold"))
    optional = finding.state == "missing" and not finding.required
    style = "dim" if optional else _STYLES[finding.state]
    line = Text("  ").append(f"{finding.state:<8}", style).append(f" {finding.name}: ")
    out.print(line.append(finding.says), highlight=False)
    if finding.mend:
        out.print(Text(f"           {finding.mend}", style="dim"), highlight=False)


def _print_end(out: Console, findings: Sequence[Finding], fatal: Sequence[Finding]) -> None:
    warnings = sum(finding.state == "warning" for finding in findings)
    said = f"{warnings} warning(s)" if warnings else "no warning"
    if fatal:
        names = ", ".join(finding.name for finding in fatal)
        out.print(f"\nnot ready: {names}; {said}", style="bold red", highlight=False)
    else:
        out.print(f"\nready; {said}", style="bold", highlight=False)
