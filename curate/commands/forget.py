"""The command ``curate forget``: rows taken out of a run for good, with a proof."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.console import console
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from curate.core.location import StorePath


@click.command(name="forget")
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.option("--uid", "uids", multiple=True, help="A row.")
@click.option("--url", "urls", multiple=True, help="All rows of an address, or of a local path.")
@click.option("--host", "hosts", multiple=True, help="All rows of a host's addresses.")
@click.option("--uids", "uids_file", type=click.Path(path_type=Path), help="File, a uid a line.")
@click.option("--urls", "urls_file", type=click.Path(path_type=Path), help="File, an URL a line.")
@click.option("--why", default="", help="Kept with the tombstones; name nothing in it.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def forget_command(
    run_folder: StorePath,
    uids: Sequence[str],
    urls: Sequence[str],
    hosts: Sequence[str],
    uids_file: Path | None,
    urls_file: Path | None,
    why: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take rows out of tables, selections, exports and views, and prove it.

    What was stopped half-way is finished by the same command, or by one that names nothing.
    """
    from curate.forgetting.forget import forget, preview
    from curate.forgetting.found import Asked
    from curate.terminal import Terminal

    asked = Asked(
        uids=frozenset([*uids, *_lines(uids_file)]),
        urls=frozenset([*urls, *_lines(urls_file)]),
        hosts=frozenset(host.lower() for host in hosts),
    )
    if dry_run:
        if not asked:
            raise click.UsageError("--dry-run needs uids, urls or hosts")
        would = preview(run_folder, asked)
        click.echo(json.dumps(would, indent=1) if as_json else _told(would, "would go"))
        return
    with Terminal(console(as_json)) as terminal:
        reports = forget(
            run_folder,
            asked,
            why=why,
            progress=lambda done, total: terminal.step("made again", done, total),
        )
    if as_json:
        click.echo(json.dumps({"forgotten": reports}, indent=1))
    else:
        for report in reports:
            _print(run_folder, report)
    if any(report["proof"]["left"] for report in reports):
        sys.exit(1)


def _lines(path: Path | None) -> list[str]:
    """Read a file of values, one a line."""
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _told(facts: dict[str, Any], verb: str) -> str:
    lines = [f"{facts['rows']:,} row(s) of {facts['partitions']:,} partition(s) {verb}"]
    if facts["selections"]:
        lines.append(f"  selections without them: {', '.join(facts['selections'])}")
    if facts["view"]:
        lines.append("  the LanceDB view is made again")
    if facts["exports"]:
        lines.append(f"  exports made again: {', '.join(facts['exports'])}")
    if facts["removed"]:
        lines.append(f"  removed, for it cannot be made again: {', '.join(facts['removed'])}")
    return "\n".join(lines)


def _print(run_folder: StorePath, report: dict[str, Any]) -> None:
    proof = report["proof"]
    click.echo(_told(report, "forgotten"))
    click.echo(
        f"  searched {proof['files_searched']:,} files, {proof['files_decoded']:,} of them row by "
        f"row: {'nothing is left' if not proof['left'] else 'something is left'}"
    )
    for name, what in sorted(proof["left"].items()):
        click.echo(f"  {name}: {what}; remove or mend it and run the same command again", err=True)
    click.echo(f"  written to {run_folder / report['report']}")
