"""The sections of a report that are about texts: scores, canaries, rounds of a loop, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from curate.core.columns import HUMAN, SYNTHETIC, WEB
from curate.inspection.report_charts import bar, label, panels
from curate.inspection.report_cuts import Cut, Decided
from curate.inspection.report_figures import Figures
from curate.inspection.report_html import (
    Markup,
    element,
    joined,
    number,
    paragraph,
    share,
    table,
)
from curate.inspection.report_tally import CANARY, MOST_WORDS, Counts, Histogram

_ORDER = (WEB, SYNTHETIC, HUMAN)


def scores(figures: Figures) -> Markup | None:
    """Return a chart a score: web texts against synthetic ones, with the threshold drawn in."""
    shown = [
        _score(place, name, histogram, figures.decided)
        for place, (name, histogram) in enumerate(figures.tally.scores.items())
        if any(found.sum() for found in histogram.counts.values())
    ]
    if not shown:
        return None
    words = "Each row of bars is scaled to its own highest bar: compare shapes, not heights."
    if figures.decided.cuts:
        words += (
            f" The dashed line is the threshold of selection {figures.selection!r}: texts on its "
            "far side are not selected."
        )
    return joined(paragraph(words), element("div", {"class": "charts"}, *shown))


def _score(place: int, name: str, histogram: Histogram, decided: Decided) -> Markup:
    cuts = decided.cuts if name == decided.column else ()
    counts = _in_order(histogram.counts)
    title, edges = f"{name} by where the text came from", histogram.edges
    unscored = sum(n for source, n in histogram.unscored.items() if source != CANARY)
    drawing = panels(
        f"score-{place}",
        title,
        counts,
        edges,
        axis=name,
        cuts=cuts,
        description=_in_words(counts, histogram, cuts),
    )
    rows: list[list[str | Markup]] = [
        [f"{edges[bin_]:.3g} to {edges[bin_ + 1]:.3g}"]
        + [number(int(found[bin_])) for found in counts.values()]
        for bin_ in range(len(edges) - 1)
        if any(found[bin_] for found in counts.values())
    ]
    said = [f"Texts without {name}: {number(unscored)}."] if unscored else []
    said += [
        f"The threshold {cut.value:.3g} lies beyond every score."
        for cut in cuts
        if not edges[0] <= cut.value <= edges[-1]
    ]
    return element(
        "figure",
        {},
        element("h3", {}, name),
        drawing,
        element("figcaption", {}, " ".join(said)) if said else "",
        _behind("The numbers", table(title, (name, *map(label, counts)), rows)),
    )


def _in_words(counts: Mapping[str, Counts], histogram: Histogram, cuts: tuple[Cut, ...]) -> str:
    """Say what a chart shows: the middle of each series, and the threshold."""
    said = []
    for series, found in counts.items():
        whole = int(found.sum())
        if whole:
            middle = int(np.searchsorted(found.cumsum(), (whole + 1) // 2))
            low, high = histogram.edges[middle], histogram.edges[middle + 1]
            said.append(f"{label(series)}: {number(whole)}, median {low:.3g} to {high:.3g}")
    said += [
        f"threshold{f' for {label(cut.source)}' if cut.source else ''}: {cut.value:.3g}"
        for cut in cuts
    ]
    return "; ".join(said) or "no scores"


def canaries(figures: Figures) -> Markup | None:
    """Return what the threshold makes of planted mismatches; None where there are none."""
    found = {
        name: int(histogram.counts[CANARY].sum())
        for name, histogram in figures.tally.scores.items()
        if CANARY in histogram.counts
    }
    if not found:
        return None
    words = [
        paragraph(
            "Canaries are pictures scored with a text that belongs to another one. They are in "
            "no selection; a good filter rejects them."
        )
    ]
    column, rejected = figures.decided.column, figures.canaries_rejected
    if column in found and rejected is not None:
        whole = found[column]
        words.append(
            paragraph(
                f"Of {number(whole)} canaries scored by {column}, the threshold of selection "
                f"{figures.selection!r} rejects ",
                element("strong", {}, f"{number(rejected)} ({share(rejected, whole)})"),
                ".",
            )
        )
    rows: list[list[str | Markup]] = [[name, number(count)] for name, count in found.items()]
    return joined(*words, table("Canaries by score", ("score", "canaries"), rows))


def rounds(figures: Figures) -> Markup | None:
    """Return the noise found in each round of the loop; None where the run is part of none."""
    if not figures.rounds:
        return None
    head = (
        *("round", "noise in web texts", "", "noise in captions", ""),
        *("web texts kept", "captions kept", "canaries rejected", "threshold"),
    )
    rows = [_round(one) for one in figures.rounds]
    return joined(
        paragraph("Noise is the share of the texts that each round's filter rejected."),
        table("Rounds of the bootstrap loop", head, rows),
        *(element("p", {"class": "remark"}, f"Alarm: {said}") for said in figures.alarms),
    )


def _round(one: Mapping[str, Any]) -> list[str | Markup]:
    noise, kept = one.get("noise", {}), one.get("kept", {})
    cells: list[str | Markup] = [str(one.get("round", ""))]
    for source in (WEB, SYNTHETIC):
        found = noise.get(source)
        cells += ["", ""] if found is None else [f"{found:.1%}", bar(found, 1, "stop")]
    cells += [number(kept.get(source, 0)) for source in (WEB, SYNTHETIC)]
    recall, threshold = one.get("canary_recall"), one.get("threshold")
    cells.append("" if recall is None else f"{recall:.1%}")
    cells.append("" if threshold is None else f"{threshold:.3g}")
    return cells


def lengths(figures: Figures) -> Markup | None:
    """Return how many words the texts have."""
    counts = _in_order(figures.tally.words)
    if not counts:
        return None
    rows: list[list[str | Markup]] = []
    for source, found in counts.items():
        whole = int(found.sum())
        places = [
            int(np.searchsorted(found.cumsum(), max(1, np.ceil(part * whole))))
            for part in (0.05, 0.5, 0.95)
        ]
        said = [f"{MOST_WORDS} or more" if p == MOST_WORDS else str(p) for p in places]
        rows.append([label(source), number(whole), *said, number(int(found[0]))])
    title = "Words a text"
    drawing = panels(
        "lengths-chart",
        title,
        counts,
        range(MOST_WORDS + 2),
        axis=f"words; the last bar is {MOST_WORDS} and more",
        description="; ".join(f"{row[0]}: median {row[3]} words" for row in rows),
    )
    head = ("", "texts", "5% have at most", "median", "95% have at most", "without a word")
    return joined(
        element("div", {"class": "charts"}, element("figure", {}, drawing)),
        table(title, head, rows),
    )


def _in_order(counts: Mapping[str, Counts]) -> dict[str, Counts]:
    """Put web texts first, canaries last."""
    ranks = {name: place for place, name in enumerate(_ORDER)}
    last = len(_ORDER)
    return {
        name: counts[name]
        for name in sorted(counts, key=lambda name: (name == CANARY, ranks.get(name, last), name))
    }


def _behind(summary: str, content: Markup) -> Markup:
    return element("details", {}, element("summary", {}, summary), content)
