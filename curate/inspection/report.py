"""A run as one HTML page that needs nothing else: no request, no script, readable offline.

The same run gives the same bytes: nothing in it tells of when or where it was written.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from curate.core.table import CommittedTable
from curate.inspection import report_score_sections as of_texts
from curate.inspection import report_sections as of_rows
from curate.inspection.report_figures import Figures, Gathered, gather
from curate.inspection.report_gallery import gallery, stopped
from curate.inspection.report_html import Markup, element, joined, number, paragraph, share
from curate.inspection.report_pairs import Pair, read_pairs
from curate.inspection.report_style import STYLE

_FOOTER = (
    "Written by curate report. Texts, addresses and pictures come from the run and belong to "
    "others: mind that before you hand this page on."
)


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        figures: its numbers.
        html: the page.
    """

    figures: Figures
    html: str


def make_report(table: CommittedTable, selection: str | None = None) -> Report:
    """Make the report of a run; memory does not grow with its rows.

    Args:
        table: a run's; it need not be finished.
        selection: name of the selection to speak of; None for ``default``, else the last by name.

    Raises:
        StoreError: no such selection, or it was decided on an earlier table.
    """
    gathered = gather(table, selection)
    keys = [key for group in gathered.pairs.values() for key in group]
    pairs = read_pairs(table, gathered.selection, keys)
    return Report(gathered.figures, page(gathered, pairs, table.score_names))


def page(gathered: Gathered, pairs: dict[tuple[int, int], Pair], scores: tuple[str, ...]) -> str:
    """Return the page."""
    figures = gathered.figures
    sections = {
        "funnel": ("Where the rows went", of_rows.funnel(figures)),
        "reasons": ("Reasons", of_rows.reasons(figures)),
        "scores": ("Scores", of_texts.scores(figures)),
        "canaries": ("Canaries", of_texts.canaries(figures)),
        "rounds": ("Noise by round", of_texts.rounds(figures)),
        "pairs": ("Pairs to look at", gallery(gathered.pairs, pairs, scores)),
        "stopped": ("Rows that stopped", stopped(gathered.stopped)),
        "lengths": ("Lengths of texts", of_texts.lengths(figures)),
        "languages": ("Languages", of_rows.languages(figures)),
        "sizes": ("Sizes of pictures", of_rows.sizes(figures)),
        "hosts": ("Hosts", of_rows.hosts(figures)),
        "throughput": ("Throughput", of_rows.throughput(figures)),
        "provenance": ("Versions and recipe", of_rows.provenance(figures)),
    }
    there = {name: (title, body) for name, (title, body) in sections.items() if body is not None}
    body = joined(
        element("a", {"class": "skip", "href": "#main"}, "Skip to the content"),
        _header(figures, {name: title for name, (title, _) in there.items()}),
        element(
            "main",
            {"id": "main", "tabindex": "-1"},
            *(_section(name, title, content) for name, (title, content) in there.items()),
        ),
        element("footer", {}, paragraph(_FOOTER)),
    )
    whole = element("html", {"lang": "en"}, _head(figures), element("body", {}, body))
    return f"<!doctype html>\n{whole}\n"


def _head(figures: Figures) -> Markup:
    """Return the head; its policy lets nothing in but this style and pictures in the page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return element(
        "head",
        {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("title", {}, f"{figures.name}: report"),
        element("style", {}, Markup(STYLE)),
    )


def _header(figures: Figures, titles: dict[str, str]) -> Markup:
    links = [
        element("li", {}, element("a", {"href": f"#{name}"}, title))
        for name, title in titles.items()
    ]
    return element(
        "header",
        {},
        element("h1", {}, figures.name),
        element("p", {"class": "soft"}, _summary(figures)),
        *(element("p", {"class": "remark"}, remark) for remark in _remarks(figures)),
        element("dl", {"class": "facts"}, *_facts(figures)),
        element("nav", {"aria-label": "Sections"}, element("ul", {}, *links)),
    )


def _summary(figures: Figures) -> str:
    if figures.selection is None:
        return "A run of curate. Nothing has been selected from it yet."
    others = len(figures.selections) - 1
    more = f" (one of {others + 1} selections)" if others > 0 else ""
    return f"A run of curate, and what its selection {figures.selection!r}{more} keeps."


def _remarks(figures: Figures) -> list[str]:
    said = list(figures.remarks)
    if not figures.complete:
        said.append("The run is not finished: these are the figures so far.")
    if figures.set_aside:
        said.append(
            f"Partitions set aside after repeated failures: {number(figures.set_aside)}; "
            "curate run RECIPE --retry quarantined takes them up."
        )
    return said


def _facts(figures: Figures) -> list[Markup]:
    facts = [
        ("Rows in", number(figures.rows_in), ""),
        ("Stopped", number(figures.rows_dropped), share(figures.rows_dropped, figures.rows_in)),
        ("Pictures kept", number(figures.rows_kept), share(figures.rows_kept, figures.rows_in)),
        ("Texts", number(figures.texts), "of the kept pictures"),
    ]
    if figures.selection is not None:
        chosen = figures.texts_selected
        facts.append(("Texts selected", number(chosen), share(chosen, figures.texts)))
        kept = int(figures.selection_facts["rows_kept"])
        facts.append(
            ("Pictures with a selected text", number(kept), share(kept, figures.rows_kept))
        )
    return [
        element(
            "div",
            {},
            element("dt", {}, name),
            element("dd", {}, value, element("small", {}, note) if note else ""),
        )
        for name, value, note in facts
    ]


def _section(name: str, title: str, content: Markup) -> Markup:
    heading = element("h2", {"id": f"{name}-title"}, title)
    return element("section", {"id": name, "aria-labelledby": f"{name}-title"}, heading, content)
