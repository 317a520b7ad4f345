"""The command ``curate view``: a run's pairs in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import signal
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.idle_options import refuse_idle
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from rich.console import Console

    from curate.core.location import StorePath
    from curate.core.table import CommittedTable
    from curate.inspection.index.pairs import Pairs
    from curate.inspection.marks import Marks
    from curate.view.guard import Guard


@click.command(name="view")
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port on the loopback address; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@click.option(
    "--index",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the index here instead of the run's folder.",
)
@click.option("--by", help="Whose marks these are; the login name if left out.")
@click.option(
    "--export-marks",
    "export",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the marks there are as JSON lines, and show nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON for scripts.")
def view_command(
    run_folder: StorePath,
    port: int,
    no_browser: bool,
    folder: Path | None,
    by: str | None,
    export: Path | None,
    as_json: bool,
) -> None:
    """Look at a run's pairs in a browser: filter, sort, search, move a threshold, mark.

    It listens on this machine alone, and only who has the address with its token gets in. Ctrl-C
    ends it; marks are saved as they are made.
    """
    from curate.console import console
    from curate.core.table import CommittedTable
    from curate.inspection.marks import Marks
    from curate.view.guard import Guard

    if export is not None:
        refuse_idle(["port", "no_browser", "folder", "by"], "--export-marks shows nothing")
    table = CommittedTable.open(run_folder)
    marks = Marks(run_folder, by=_name() if by is None else by)
    if export is not None:
        _export(marks, export, as_json)
        return
    out = console(as_json)
    pairs = _opened(out, table, folder, marks)
    out.print(
        f"{len(pairs.index):,} pairs of {len(pairs.index.image_starts):,} images", highlight=False
    )
    pairs.warm_up()
    guard = Guard()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pairs, guard, port, out, browse=not no_browser, as_json=as_json))
    out.print("stopped; all marks are saved")


def _export(marks: Marks, path: Path, as_json: bool) -> None:
    from curate.core.atomic import write_whole

    lines = list(marks.lines())
    write_whole(path, lambda file: file.write("".join(lines).encode()))
    if as_json:
        click.echo(json.dumps({"marks": len(lines), "file": str(path)}))
    else:
        click.echo(f"{len(lines):,} marks written to {path}")


def _opened(console: Console, table: CommittedTable, folder: Path | None, marks: Marks) -> Pairs:
    from rich.progress import Progress

    from curate.inspection.index.pairs import Pairs
    from curate.inspection.index.search import Search

    with Progress(console=console, transient=True) as progress:
        index, decided = (
            progress.add_task(what, total=None, visible=False)
            for what in ("building the index, partitions", "reading selections, partitions")
        )
        search = Search(
            table,
            folder,
            lambda done, total: progress.update(index, completed=done, total=total, visible=True),
        )
        return Pairs(
            table,
            search,
            marks,
            lambda done, total: progress.update(decided, completed=done, total=total, visible=True),
        )


async def _serve(
    pairs: Pairs, guard: Guard, port: int, console: Console, *, browse: bool, as_json: bool
) -> None:
    """Serve until somebody asks to stop.

    Raises:
        StoreError: the port is taken.
    """
    from aiohttp import web

    from curate.core.errors import StoreError
    from curate.view.application import Application

    runner = web.AppRunner(Application(pairs, guard).build(), access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise StoreError(
                f"cannot listen on port {port} ({error.strerror}): give another --port, or none"
            ) from error
        guard.port = runner.addresses[0][1]
        if as_json:
            click.echo(json.dumps({"address": guard.address, "pairs": len(pairs.index)}))
        else:
            console.print(f"open {guard.address}", highlight=False)
            console.print("Ctrl-C ends it")
        if browse:
            await asyncio.to_thread(webbrowser.open, guard.address)
        await _until_asked_to_stop()
    finally:
        await runner.cleanup()


async def _until_asked_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an entry, as in some containers
        return "unknown"
