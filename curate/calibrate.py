"""The command ``curate calibrate``: a threshold for a wanted precision or recall."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.idle_options import refuse_idle
from curate.run_argument import RUN_FOLDER

if TYPE_CHECKING:
    from rich.console import Console

    from curate.core.location import StorePath
    from curate.inspection.calibration import Calibration, Estimate, Measure, Point

_SHARE = click.FloatRange(0, 1, min_open=True)


@click.command(name="calibrate")
@click.argument("run_folder", metavar="RUN", type=RUN_FOLDER)
@click.option("--scorer", help="A score column or a scorer's name, e.g. filter_itm.")
@click.option("--precision", type=_SHARE, help="Wanted: so many of the kept texts are right.")
@click.option("--recall", type=_SHARE, help="Wanted: so many of the right texts are kept.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Judged pairs as JSON lines with uid, text and good (true or false).",
)
@click.option("--marks", is_flag=True, help="Take the pairs that were marked in 'curate view'.")
@click.option(
    "--source",
    type=click.Choice(["web", "synthetic"]),
    default="web",
    show_default=True,
    help="Which texts the threshold is for; labels are taken as they are.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def calibrate_command(
    run_folder: StorePath,
    scorer: str | None,
    precision: float | None,
    recall: float | None,
    labels: Path | None,
    marks: bool,
    source: str,
    as_json: bool,
) -> None:
    """Find the threshold of a score for a wanted precision or recall, with its 95% interval.

    With --labels or --marks both are counted on the judged pairs. Without, they are estimated from
    the canaries, the planted mismatches: what is counted is the share of canaries let through and
    the share of texts kept. Precision and recall then assume that the wrong texts score like
    canaries; right texts that score like canaries count as wrong. Exit code 1 where no threshold
    reaches what is wanted.
    """
    if precision is not None and recall is not None:
        raise click.UsageError("give --precision or --recall: a threshold has one of them to meet")
    measure: Measure | None = None
    if precision is not None or recall is not None:
        measure = "recall" if precision is None else "precision"
    wanted = (measure, recall if precision is None else precision)
    if marks and labels is not None:
        raise click.UsageError("give --labels or --marks: one set of judged pairs at a time")
    if marks or labels is not None:
        refuse_idle(["source"], "judged pairs are taken as they are")
    report = calibrate(run_folder, scorer, wanted, labels=labels, marks=marks, source=source)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
    else:
        from curate.console import console

        _print(console(as_json), report)
    if measure is not None and report.found.chosen is None:
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Report:
    """A calibration and what it is of.

    Attributes:
        run: the run's folder.
        column: the score.
        wanted: precision or recall, and how much; (None, None) for a table alone.
        found: the calibration.
        counted_on: in words, what the numbers were counted on.
    """

    run: StorePath
    column: str
    wanted: tuple[Measure | None, float | None]
    found: Calibration
    counted_on: str

    @property
    def selector(self) -> dict[str, Any] | None:
        """The recipe's ``select`` with the threshold that was found; None where there is none."""
        if self.found.chosen is None:
            return None
        threshold = self.found.chosen.threshold
        if self.column.endswith("_itm"):
            return {"kind": "capfilt", "itm": self.column, "threshold": threshold}
        return {"kind": "threshold", "column": self.column, "min": threshold}

    def as_json(self) -> dict[str, Any]:
        """Return plain values; null for what is not defined."""
        measure, value = self.wanted
        facts = {
            "run": str(self.run),
            "column": self.column,
            "wanted": None if measure is None else {measure: value},
            "counted_on": self.counted_on,
            "select": self.selector,
            **asdict(self.found),
        }
        return {name: plain(fact) for name, fact in facts.items()}


def calibrate(
    run_folder: StorePath,
    scorer: str | None,
    wanted: tuple[Measure | None, float | None],
    *,
    labels: Path | None = None,
    marks: bool = False,
    source: str = "web",
) -> Report:
    """Calibrate a score of a run on its canaries, or on labelled pairs.

    Args:
        run_folder: the run.
        scorer: a score column or a scorer's name; None for the only one.
        wanted: precision or recall, and how much; (None, None) for a table alone.
        labels: JSON lines of judged pairs; None for the canaries.
        marks: take the pairs that were marked in ``curate view`` instead.
        source: texts that the threshold is for, ``web`` or ``synthetic``.

    Raises:
        StoreError: no such run or score, no canaries, or no text with a score.
        SourceError: the labels cannot be read.
    """
    from curate.core.errors import StoreError
    from curate.core.table import CommittedTable
    from curate.inspection import calibration, score_samples
    from curate.inspection.marks import FOLDER, labels_of

    table = CommittedTable.open(run_folder)
    column = score_samples.score_column(table, scorer)
    measure, value = wanted[0], 0.9 if wanted[1] is None else wanted[1]
    if marks or labels is not None:
        judged = labels_of(run_folder) if labels is None else score_samples.read_labels(labels)
        where = run_folder / FOLDER if labels is None else labels
        pairs = score_samples.labelled_scores(table, column, judged, where)
        found = calibration.from_labels(pairs.right, pairs.wrong, measure, value)
        said = f"{found.num_texts:,} labelled pairs, {found.num_wrong:,} of them wrong"
        left_out = pairs.missing + pairs.unscored
        said += f"; {left_out:,} more have no score in this run" if left_out else ""
        return Report(run_folder, column, wanted, found, said)
    canaries = score_samples.canary_scores(table, column)
    texts = score_samples.text_scores(table, column, source)
    if not len(texts.scores):
        raise StoreError(f"{run_folder} has no {source} text with a score of {column}")
    found = calibration.from_canaries(texts.scores, canaries, measure, value)
    said = f"{found.num_wrong:,} canaries and {found.num_texts:,} {source} texts"
    if texts.partitions < texts.of:
        said += f" of {texts.partitions:,} of the {texts.of:,} partitions"
    return Report(run_folder, column, wanted, found, said)


# --- for people


def _print(console: Console, report: Report) -> None:
    from rich.table import Table

    found = report.found
    estimated = found.evidence == "canaries"
    console.print(f"{report.column}: {report.counted_on}", style="bold", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("threshold", *_TITLES):
        table.add_column(title, justify="right")
    points = {point.threshold: point for point in found.points}
    if found.chosen is not None:
        points[found.chosen.threshold] = found.chosen
    for threshold in sorted(points):
        table.add_row(str(threshold), *(_percent(one) for one in _shares(points[threshold])))
    console.print(table)
    share = _percent(found.noise, interval=True)
    if estimated:
        console.print(
            f"estimated: wrong texts {share}, precision and recall, if wrong texts score like "
            "canaries and right ones hardly ever do; near misses score higher than canaries, "
            "so label a few hundred pairs (--labels) to be sure"
        )
    else:
        console.print(f"wrong pairs: {share} of the labelled ones")
    if estimated and found.num_wrong < _FEW:
        console.print(
            f"{found.num_wrong} canaries are few: raise 'canaries' at the scorer for more"
        )
    _print_choice(console, report)


def _print_choice(console: Console, report: Report) -> None:
    found, (measure, value) = report.found, report.wanted
    if measure is None:
        return
    if found.chosen is None:
        best = f"the best is {found.best:.3f}"
        if math.isnan(found.best):
            best = "all texts score like canaries, so none can be called right"
        console.print(f"no threshold reaches a {measure} of {value:g}: {best}")
        return
    assert found.threshold is not None
    low, high = found.threshold.low, found.threshold.high
    console.print(
        f"a {measure} of {value:g}: threshold {found.chosen.threshold}, "
        f"95% interval {low:.3g} to {high:.3g}"
        + ("" if found.reached > _SURE else f", reached in {found.reached:.0%} of the resamplings")
    )
    for title, one in zip(_TITLES, _shares(found.chosen), strict=True):
        console.print(f"  {title}: {_percent(one, interval=True)}")
    assert report.selector is not None
    inside = ", ".join(f"{name}: {setting}" for name, setting in report.selector.items())
    console.print(f"select: {{{inside}}}", style="bold")


_TITLES = ("wrong let through", "texts kept", "precision", "recall")
#: Fewer canaries than these leave a precision of 0.9 uncertain by several points.
_FEW = 100
_SURE = 0.999


def _shares(point: Point) -> tuple[Estimate, ...]:
    return (point.let_through, point.accepted, point.precision, point.recall)


def _percent(estimate: Estimate, *, interval: bool = False) -> str:
    if math.isnan(estimate.value):
        return "-"
    span = f" ({estimate.low:.1%} to {estimate.high:.1%})" if interval else ""
    return f"{estimate.value:.1%}{span}"


def plain(value: Any) -> Any:
    """Return JSON values: null for NaN, lists for tuples."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
