"""What a person sees: progress with rates and time left, the funnel, both laws, what to do next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from curate.advice import advice
from curate.amounts import clock_text
from curate.core.families import kinds
from curate.core.plan import LegPlan, Node, PassPlan
from curate.core.selection import Selection
from curate.core.store import Receipt
from curate.engine.base import Failure
from curate.outcome import Reporter, RunResult

_QUIET_EVERY_S = 15.0


class _Rate(ProgressColumn):
    """Rows a second and time left, from what this process has done."""

    def render(self, task: Task) -> Text:
        rows, begun = task.fields["rows"], task.fields["begun"]
        passed = max((task.finished_time or 0) or time.monotonic() - begun, 1e-3)
        said = f"{rows:,} rows" if rows else ""
        if task.fields["fresh"]:
            said += f"  {rows / passed:,.1f} rows/s"
            if task.total and not task.finished:
                left = passed / task.fields["fresh"] * (task.total - task.completed)
                said += f"  {clock_text(left)} left"
        return Text(said, style="dim")


class Terminal(Reporter, AbstractContextManager["Terminal"]):
    """Shows a run on a terminal; on a pipe, a line now and then instead of bars."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}[dim]/{task.fields[of]}[/]"),
            _Rate(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    # -- what Reporter is told -----------------------------------------------------------------

    def engine_started(self, description: str) -> None:
        """Say where the work is done."""
        self.console.print(f"working {description}", style="dim", highlight=False)

    def pass_begins(self, one: PassPlan, done: list[int], total: int | None) -> None:
        """Open a bar for each leg."""
        for leg, already in zip(one.legs, done, strict=True):
            self._bar(leg.node.folder, leg.name, already, total)
        if any(done) and total is not None and min(done) < total:
            self.console.print(f"going on: {min(done):,} partitions were done before", style="dim")

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        """Move a leg's bar."""
        task = self._tasks[leg.node.folder]
        fields = self._progress.tasks[self._index(task)].fields
        self._progress.update(
            task, advance=1, rows=fields["rows"] + receipt.rows_in, fresh=fields["fresh"] + 1
        )
        self._line(leg.node.folder)

    def set_aside(self, leg: LegPlan, failure: Failure) -> None:
        """Say that a partition was quarantined."""
        self.console.print(
            f"set aside {failure.partition} after {failure.attempts} attempts in "
            f"{leg.name}: {failure.error}",
            style="yellow",
            highlight=False,
        )

    def pass_ends(self, one: PassPlan) -> None:
        """Close the pass's bars."""
        for leg in one.legs:
            task = self._tasks.get(leg.node.folder)
            if task is None:
                continue
            row = self._progress.tasks[self._index(task)]
            self._progress.update(task, total=row.completed, of=f"{row.completed:,.0f} partitions")
            if not self.console.is_terminal and row.fields["fresh"]:
                self._print_line(row)

    def barrier(self, node: Node, dropped: int | None) -> None:
        """Say what a barrier dropped."""
        if dropped is not None:
            self.console.print(f"  {node.stages[0]} dropped {dropped:,} rows", highlight=False)

    def step(self, name: str, done: int, total: int) -> None:
        """Move the bar of a step after the passes."""
        if name not in self._tasks:
            self._bar(name, name, 0, total or None)
        self._progress.update(self._tasks[name], completed=done, total=total or None)

    def step_done(self, name: str, message: str) -> None:
        """Say what a step came to."""
        self.console.print(f"  {name}: {message}", highlight=False)

    def say(self, line: str) -> None:
        """Print a step's own line."""
        self.console.print(f"  {line}", style="dim", highlight=False)

    # -- bars ----------------------------------------------------------------------------------

    def _bar(self, key: str, name: str, already: int, total: int | None) -> None:
        of = "?" if total is None else f"{total:,}"
        self._tasks[key] = self._progress.add_task(
            name,
            total=total,
            completed=already,
            rows=0,
            fresh=0,
            begun=time.monotonic(),
            of=of,
        )

    def _index(self, task: TaskID) -> int:
        return next(i for i, one in enumerate(self._progress.tasks) if one.id == task)

    def _line(self, key: str) -> None:
        if self.console.is_terminal or time.monotonic() - self._last_line < _QUIET_EVERY_S:
            return
        self._last_line = time.monotonic()
        self._print_line(self._progress.tasks[self._index(self._tasks[key])])

    def _print_line(self, row: Task) -> None:
        passed = max(time.monotonic() - row.fields["begun"], 1e-3)
        self.console.print(
            f"  {row.description}: {row.completed:,.0f} of {row.fields['of']}, "
            f"{row.fields['rows']:,} rows, {row.fields['rows'] / passed:,.1f} rows/s",
            highlight=False,
        )


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
