"""The sections of a report that are about rows and pictures: where they went, and what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping

from curate.amounts import time_text
from curate.inspection.report_charts import bar, label
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
from curate.inspection.report_tally import SIDES
from curate.inspection.stage_figures import StageFigures

#: Hosts and languages that a table names.
_NAMED = 20


def funnel(figures: Figures) -> Markup:
    """Return where the rows and texts went."""
    whole = figures.rows_in
    rows = [_funnel_row("rows in", whole, whole)]
    for stage in figures.stages:
        stopped = sum(stage.dropped.values())
        if stopped:
            rows.append(_funnel_row(f"stopped at {stage.name}", -stopped, whole))
    if figures.rows_waiting:
        rows.append(_funnel_row("not finished yet", figures.rows_waiting, whole))
    rows.append(_funnel_row("pictures kept", figures.rows_kept, whole))
    shown = [table("Rows: one is one picture of the list", _HEAD, rows, numbers=1)]
    if figures.texts:
        whole = figures.texts
        texts = [_funnel_row("texts of the kept pictures", whole, whole)]
        texts += _by_source(figures.tally.texts, whole)
        if figures.selection is not None:
            texts.append(_funnel_row("texts selected", figures.texts_selected, whole))
            texts += _by_source(figures.selection_facts["selected"], whole)
        shown.append(table("Texts of those pictures", _HEAD, texts, numbers=1))
    return element("div", {"class": "tables"}, *shown)


_HEAD = ("", "count", "share", "")


def _by_source(counts: Mapping[str, int], whole: int) -> list[list[str | Markup]]:
    return [
        _funnel_row(f"of them {label(source)}", count, whole)
        for source, count in sorted(counts.items())
    ]


def _funnel_row(name: str, count: int, whole: int) -> list[str | Markup]:
    kind = "stop" if count < 0 else "good" if name.endswith(("kept", "selected")) else ""
    said = f"\N{MINUS SIGN}{number(-count)}" if count < 0 else number(count)
    return [name, said, share(abs(count), whole), bar(abs(count), whole, kind)]


def reasons(figures: Figures) -> Markup:
    """Return why rows stopped, and why texts were not selected."""
    rows = [
        [
            f"{stage.name}: {reason}",
            number(count),
            share(count, stage.rows_in),
            share(count, figures.rows_dropped),
            bar(count, figures.rows_dropped, "stop"),
        ]
        for stage in figures.stages
        for reason, count in sorted(stage.dropped.items(), key=lambda one: (-one[1], one[0]))
    ]
    head = ("stage: reason", "rows", "of those that reached it", "of all that stopped", "")
    shown = [
        table("Rows that stopped, by stage and reason", head, rows)
        if rows
        else paragraph("No row has stopped.")
    ]
    shown.append(_text_reasons(figures))
    return element("div", {"class": "tables"}, *shown)


def _text_reasons(figures: Figures) -> Markup:
    rejected = (
        figures.tally.stopped
        if figures.selection is None
        else figures.selection_facts.get("rejected", {})
    )
    texts = figures.tally.texts
    rows = [
        [
            f"{source}: {reason}",
            number(count),
            share(count, texts.get(source, 0)),
            bar(count, texts.get(source, 0), "stop"),
        ]
        for source, found in sorted(rejected.items())
        for reason, count in sorted(found.items(), key=lambda one: (-one[1], one[0]))
    ]
    if not rows:
        return paragraph("No text was judged against." if figures.texts else "There are no texts.")
    head = ("where from: reason", "texts", "of the texts from there", "")
    return table("Texts that are not used, by where they came from and reason", head, rows)


def sizes(figures: Figures) -> Markup | None:
    """Return how large the pictures are; None where no stage measured them."""
    counts = figures.tally.sides
    whole = int(counts.sum())
    if not whole:
        return None
    uppers = [*(str(side - 1) for side in SIDES[1:]), ""]
    rows: list[list[str | Markup]] = [
        [
            f"{low} to {high}" if high else f"{low:,} and more",
            number(int(n)),
            share(int(n), whole),
            bar(int(n), whole),
        ]
        for low, high, n in zip(SIDES, uppers, counts, strict=True)
        if n
    ]
    head = ("shorter side, pixels", "pictures", "share", "")
    return table("Kept pictures by their shorter side, as stored", head, rows)


def hosts(figures: Figures) -> Markup | None:
    """Return the hosts that gave most pictures; None for a list without addresses."""
    kept, lost = figures.tally.hosts, figures.lost_hosts
    names = set(kept.counts) | set(lost.counts)
    if not names:
        return None
    total = {name: kept.counts[name] + lost.counts[name] for name in names}
    ranked = sorted(names, key=lambda name: (-total[name], name))[:_NAMED]
    rows: list[list[str | Markup]] = [
        [
            name,
            number(total[name]),
            number(kept.counts[name]),
            share(kept.counts[name], total[name]),
            bar(kept.counts[name], total[name], "good"),
        ]
        for name in ranked
    ]
    exact = kept.exact and lost.exact
    said = f"{number(len(names))} hosts" if exact else f"more than {number(len(names))} hosts"
    words = f"{said} in all; the {len(ranked)} with most rows:"
    if not exact:
        words += " (counts leave out what was seen of a host before it became frequent)"
    head = ("host", "rows", "kept", "share kept", "")
    return joined(paragraph(words), table("Hosts by rows", head, rows))


def languages(figures: Figures) -> Markup | None:
    """Return languages, where the list brought a column of them."""
    found = figures.tally.languages
    whole = found.counts.total()
    if not whole:
        return None
    rows: list[list[str | Markup]] = [
        [name, number(count), share(count, whole), bar(count, whole)]
        for name, count in found.ranked()[:_NAMED]
    ]
    return table("Kept rows by language, as the list says", ("language", "rows", "share", ""), rows)


def throughput(figures: Figures) -> Markup | None:
    """Return where the time went; None where no stage measured any."""
    timed = [stage for stage in figures.stages if stage.seconds]
    whole = math.fsum(stage.seconds or 0 for stage in timed)
    if not timed:
        return None
    head = ("stage", "rows", "worker time", "rows a second", "share of the time", "")
    return joined(
        paragraph(
            "Time that workers spent inside each stage, added up over all of them; reading, "
            "writing and waiting are not in it. Rows a second are those of one worker."
        ),
        table("Throughput by stage", head, [_timed(stage, whole) for stage in timed]),
    )


def _timed(stage: StageFigures, whole: float) -> list[str | Markup]:
    assert stage.seconds
    return [
        stage.name,
        number(stage.rows_in),
        time_text(stage.seconds),
        f"{stage.rows_in / stage.seconds:,.1f}",
        share(stage.seconds, whole),
        bar(stage.seconds, whole),
    ]


def provenance(figures: Figures) -> Markup:
    """Return what made the run: versions and the recipe as it was run."""
    rows = [[name, version] for name, version in sorted(figures.versions.items())]
    shown = [paragraph("Identity of the table: ", element("code", {}, figures.fingerprint))]
    if rows:
        shown.append(table("Versions", ("package", "version"), rows, numbers=2))
    if figures.recipe:
        shown.append(
            element(
                "details",
                {},
                element("summary", {}, "The recipe, as it was run"),
                element("pre", {"tabindex": "0"}, figures.recipe),
            )
        )
    return joined(*shown)
