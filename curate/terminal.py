"""What a person sees of a run at work: progress with rates and time left."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from curate.amounts import clock_text
from curate.core.plan import LegPlan, Node, PassPlan
from curate.core.store import Receipt
from curate.engine.base import Failure
from curate.outcome import Reporter

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
