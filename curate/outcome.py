"""What a run came to, and who is told of it on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curate.core.location import StorePath
from curate.core.selection import Selection
from curate.passes import PassesResult, Watcher


class Reporter(Watcher):
    """Told of what a run does; the terminal is one. Every method may be left as it is."""

    def engine_started(self, description: str) -> None:
        """Workers are there: where, and the dashboard's address."""

    def step(self, name: str, done: int, total: int) -> None:
        """A step after the passes goes on (``total`` 0: unknown)."""

    def step_done(self, name: str, message: str) -> None:
        """A step after the passes is done, or begins to speak for itself."""

    def say(self, line: str) -> None:
        """A line of a step's own progress."""


@dataclass
class RunResult:
    """What a run came to.

    Attributes:
        root: the run's folder.
        passes: rows and the ledger.
        selection: the recipe's selection, or None.
        selected_now: whether it had to be decided now.
        sinks: what each view says of itself.
        exports: manifest of each export.
        pretrain: what was trained, or None.
        evaluation: how it did, or None.
        practice: what was caught of the planted faults, or None.
    """

    root: StorePath
    passes: PassesResult
    selection: Selection | None = None
    selected_now: bool = False
    sinks: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    exports: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    pretrain: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None
    practice: Mapping[str, Any] | None = None

    @property
    def nothing_to_do(self) -> bool:
        """Whether everything was there already."""
        return self.passes.worked == 0 and not self.selected_now


def result_json(result: RunResult) -> dict[str, Any]:
    """Return what a script wants to know of a run, as plain values."""
    passes = result.passes
    return {
        "output": str(result.root),
        "rows": passes.rows,
        "partitions": passes.partitions,
        "kept": passes.kept,
        "dropped": passes.dropped,
        "quarantined": {str(n): error for n, (_, error) in passes.quarantined.items()},
        "nothing_to_do": result.nothing_to_do,
        "selection": None
        if result.selection is None
        else {"name": result.selection.name, **result.selection.facts},
        "sinks": {name: dict(said) for name, said in result.sinks.items()},
        "exports": {name: dict(said) for name, said in result.exports.items()},
        "pretrain": result.pretrain,
        "evaluation": result.evaluation,
        "practice": result.practice,
    }
