"""What a person is told of a finished run: the funnel, both laws, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from curate.advice import advice
from curate.core.families import kinds
from curate.core.selection import Selection
from curate.outcome import RunResult


def print_funnel(console: Console, result: RunResult) -> None:
    """Print where the rows and texts went, and both laws."""
    passes = result.passes
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_row("rows in", f"{passes.rows:,}", "", style="bold")
    for stage, reasons in passes.dropped.items():
        for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
            table.add_row(f"  {stage}: {reason}", f"-{count:,}", _share(count, passes.rows))
    table.add_row("rows kept", f"{passes.kept:,}", _share(passes.kept, passes.rows), style="bold")
    if result.selection is not None:
        _add_texts(table, result.selection.facts)
    console.print()
    console.print(table)
    console.print()
    _print_laws(console, result)
    for line in _advice(result):
        console.print(f"\n{line}", style="yellow", highlight=False)


def _add_texts(table: Table, facts: Mapping[str, Any]) -> None:
    texts = facts["texts"]
    table.add_row("texts of the kept rows", f"{texts:,}", "", style="bold")
    sources = sorted({*facts["selected"], *facts["rejected"]})
    for source in sources:
        rejected = facts["rejected"].get(source, {})
        total = facts["selected"].get(source, 0) + sum(rejected.values())
        for reason, count in sorted(rejected.items(), key=lambda item: -item[1]):
            table.add_row(f"  {source}: {reason}", f"-{count:,}", _share(count, total))
        count = facts["selected"].get(source, 0)
        table.add_row(f"  {source}: selected", f"{count:,}", _share(count, total))
    table.add_row(
        "images with a selected text",
        f"{facts['rows_kept']:,}",
        _share(facts["rows_kept"], facts["rows"]),
        style="bold",
    )


def _print_laws(console: Console, result: RunResult) -> None:
    passes = result.passes
    dropped = sum(sum(reasons.values()) for reasons in passes.dropped.values())
    if passes.quarantined:
        numbers = ", ".join(str(number) for number in sorted(passes.quarantined)[:5])
        console.print(
            f"{len(passes.quarantined)} partition(s) set aside ({numbers}): see "
            f"'curate status {result.root}'; 'curate run RECIPE --retry quarantined' takes them up",
            style="yellow",
            highlight=False,
        )
    else:
        console.print(
            f"rows:  {passes.rows:,} in = {passes.kept:,} in the table + {dropped:,} in the ledger",
            highlight=False,
        )
    if result.selection is not None:
        facts = result.selection.facts
        rejected = sum(sum(reasons.values()) for reasons in facts["rejected"].values())
        console.print(
            f"texts: {facts['texts']:,} in the table = {result.selection.selected:,} selected + "
            f"{rejected:,} rejected (selection {result.selection.name!r})",
            highlight=False,
        )


def print_selection(console: Console, selection: Selection) -> None:
    """Print what a selection came to."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    _add_texts(table, selection.facts)
    console.print(f"selection {selection.name}", style="bold", highlight=False)
    console.print(table)
    for key, value in selection.facts["summary"].items():
        console.print(f"  {key}: {value}", highlight=False)


def _advice(result: RunResult) -> list[str]:
    """What it usually means when one class of failures dominates a download."""
    downloads = kinds("download")
    lines = [
        advice(totals.dropped.get(stage, {}), rows=totals.rows_in)
        for node, totals in result.passes.totals
        for stage in node.stages
        if stage in downloads
    ]
    return [line for line in lines if line is not None]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def print_practice(console: Console, practice: Mapping[str, Any]) -> None:
    """Print how much of what was planted the run has caught."""
    console.print()
    console.print("planted faults (known here, unknown to the pipeline)", style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("fault", "caught", "rescued", "where"):
        table.add_column(name, justify="right" if name in ("caught", "rescued") else "left")
    for fault in practice["faults"]:
        table.add_row(
            fault["fault"],
            f"{fault['caught']} of {fault['planted']}",
            str(fault["rescued"] or ""),
            fault["where"],
        )
    console.print(table)
    found = practice["mismatched"]
    auc = ", ".join(f"{name} {value:.3f}" for name, value in found["auc"].items())
    console.print(
        f"mismatched texts: precision {found['precision']:.2f}, recall {found['recall']:.2f}; "
        f"ROC AUC {auc}",
        highlight=False,
    )
    console.print(
        f"good texts kept: {practice['good_kept']} of {practice['good']}; wrong web texts "
        f"{practice['noise_before']:.1%} before, {practice['noise_after']:.1%} after",
        highlight=False,
    )
    said = practice["canaries"]
    if said is not None and said["rejected"] is not None:
        console.print(
            f"canaries: {said['rejected']:.0%} of {said['canaries']} planted mismatches fall below "
            f"{said['column']} {said['threshold']}",
            highlight=False,
        )


def print_next(console: Console, result: RunResult) -> None:
    """Print where everything is and what to try next."""
    root = result.root
    console.print()
    console.print(str(root), style="bold", highlight=False)
    for name, manifest in result.exports.items():
        count, shards = manifest["samples"], len(manifest["shards"])
        console.print(
            f"  {name}: {count:,} samples in {shards} shard(s), {manifest['output']}",
            highlight=False,
        )
    if result.pretrain is not None:
        console.print(f"  model: {result.pretrain['model']}", highlight=False)
    console.print()
    console.print("try next", style="bold")
    console.print(f"  curate status {root}", highlight=False)
    console.print(f"  curate report {root}", highlight=False)
    console.print(f"  curate view {root}", highlight=False)
    if result.selection is not None:
        settings = result.selection.facts["settings"]
        if column := settings.get("itm"):
            # its square root: stricter, and in the scale of the scorer's probabilities
            strict = settings.get("threshold", 0.5) ** 0.5
            console.print(
                f"  curate select {root} --kind capfilt --set itm={column} "
                f"--set threshold={strict:.2g} --name strict",
                highlight=False,
            )
    console.print(
        f"  python -c \"import curate; print(curate.open_run('{root}').texts())\"", highlight=False
    )
