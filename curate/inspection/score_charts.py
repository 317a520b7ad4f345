"""The report's charts of scores by themselves, for a notebook or a page of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curate.core.errors import StoreError
from curate.core.table import CommittedTable
from curate.inspection.fragment import Fragment
from curate.inspection.report_figures import gather
from curate.inspection.report_html import Markup, element
from curate.inspection.report_score_sections import scores
from curate.inspection.report_style import inside

_CLASS = "curate-charts"


@dataclass(frozen=True)
class ScoreCharts(Fragment):
    """Histograms of every score; a notebook shows them by itself.

    Attributes:
        scores: names of the scores.
    """

    title: ClassVar[str] = "scores"

    scores: tuple[str, ...]

    def __repr__(self) -> str:
        """Say what it is where HTML cannot be shown."""
        said = ", ".join(self.scores)
        return f"<Charts of {said}: show them in a notebook, or .save(path)>"


def make_charts(table: CommittedTable, selection: str | None = None) -> ScoreCharts:
    """Draw every score of a run: web texts, synthetic captions and canaries, and the threshold.

    Args:
        table: a run's; it need not be finished.
        selection: whose threshold is drawn; None for ``default``, else the last by name.

    Raises:
        StoreError: no such selection, or no text has a score.
    """
    figures = gather(table, selection).figures
    drawn = scores(figures)
    if drawn is None:
        raise StoreError(f"{table.store.root} has no scores to draw: no scorer has run")
    style = element("style", {}, Markup(inside(_CLASS)))
    return ScoreCharts(element("div", {"class": _CLASS}, style, drawn), table.score_names)
