"""The command ``curate status``: once, or again and again while the work goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from curate.console import console
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from curate.core.location import StorePath

#: Looking takes at most this share of the time: a large run is looked at less often.
_SHARE = 0.2
_INTERRUPTED = 130


@click.command(name="status")
@click.argument("folder", metavar="RUN", type=RUN_FOLDER)
@click.option("--watch", is_flag=True, help="Look again and again, until the work ends.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="With --watch: time between two looks; 2, on an object store 10, if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def status_command(folder: StorePath, watch: bool, interval: float | None, as_json: bool) -> None:
    """Show how far a run, a training or a loop is, from its folder alone, also while it goes on.

    With --watch it ends when the work does: with 0 when it was finished, with 3 when partitions
    were set aside, with 2 when it failed, was stopped or was killed. Ctrl-C ends the watching and
    leaves the work alone.
    """
    from curate.core.progress import DISK_S, STORE_S
    from curate.status.folder import Follower
    from curate.status.state import exit_code

    if interval is not None and not watch:
        raise click.UsageError("--interval goes with --watch")
    follower = Follower(folder)
    if not watch:
        _show_once(follower.facts(), as_json=as_json)
        return
    every_s = interval or (STORE_S if hasattr(folder, "fs") else DISK_S)
    try:
        last = _show_all(_looks(follower.facts, every_s), as_json=as_json)
    except KeyboardInterrupt:
        click.echo("\nno longer watching; the work goes on", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(exit_code(last))


def _looks(look: Callable[[], dict[str, Any]], every_s: float) -> Iterator[dict[str, Any]]:
    """Yield states, the last one of work that goes on no more."""
    while True:
        begun = time.monotonic()
        facts = look()
        yield facts
        if facts["state"] != "running":
            return
        took = time.monotonic() - begun
        time.sleep(max(every_s - took, took / _SHARE - took, 0.0))


def _show_once(facts: dict[str, Any], *, as_json: bool) -> None:
    from curate.status.view import view

    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    out = console(as_json)
    for part in view(facts):
        out.print(part)


def _show_all(looks: Iterator[dict[str, Any]], *, as_json: bool) -> dict[str, Any]:
    """Show one state after the other; returns the last.

    A terminal is drawn over; a pipe gets one below the other, and scripts an object a line.
    """
    from rich.console import Console, Group
    from rich.live import Live

    from curate.status.view import view

    facts: dict[str, Any] = {}
    out = Console(markup=False, emoji=False)  # what is drawn over must not flow over the edge
    if as_json or not out.is_terminal:
        for facts in looks:
            if as_json:
                click.echo(json.dumps(facts, ensure_ascii=False))
            else:
                _show_once(facts, as_json=False)
                click.echo()
        return facts
    with Live(console=out, auto_refresh=False) as live:
        for facts in looks:
            live.update(Group(*view(facts)), refresh=True)
    return facts
