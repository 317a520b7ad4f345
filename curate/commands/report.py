"""The command ``curate report``: a run as one HTML page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from curate.core.location import StorePath

REPORT_FILE = "report.html"


@click.command(name="report")
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.option(
    "--selection", metavar="NAME", help="Which selection; 'default', else the last, if left out."
)
@click.option(
    "--output", type=RUN_FOLDER, help=f"The page; {REPORT_FILE} in the run's folder if left out."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON for scripts.")
def report_command(
    run_folder: StorePath, selection: str | None, output: StorePath | None, as_json: bool
) -> None:
    """Write one HTML page of a run: funnel, reasons, scores with the threshold, pairs to look at.

    It opens offline in any browser, holds no script and asks for nothing. A run that is not
    finished gives the figures so far.
    """
    from curate.core.atomic import write_whole
    from curate.core.table import CommittedTable
    from curate.inspection.report import make_report

    report = make_report(CommittedTable.open(run_folder), selection)
    path = run_folder / REPORT_FILE if output is None else output
    size = write_whole(path, lambda file: file.write(report.html.encode()))
    if as_json:
        facts = {"report": str(path), "bytes": size, **report.figures.to_json()}
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    figures = report.figures
    click.echo(
        f"{figures.name}: {figures.rows_in:,} rows in, {figures.rows_kept:,} pictures kept, "
        + (
            f"{figures.texts_selected:,} of {figures.texts:,} texts selected by "
            f"{figures.selection!r}"
            if figures.selection is not None
            else f"{figures.texts:,} texts, nothing selected"
        )
    )
    click.echo(f"written to {path} ({size / 1000:,.0f} KB)")
