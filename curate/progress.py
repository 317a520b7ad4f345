"""Tells ``progress.json`` what a run does, beside whoever else is told."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from curate.core.location import StorePath
from curate.core.meters import device_seconds
from curate.core.plan import LegPlan, Node, PassPlan
from curate.core.progress import telling
from curate.core.store import Receipt
from curate.engine.base import Engine, Failure, WorkerState
from curate.outcome import Reporter

#: Rates are of so many seconds.
WINDOW_S = 60.0


@dataclass
class _Second:
    """What was committed within a second."""

    at: float
    partitions: int = 0
    rows: int = 0
    worked_s: float = 0.0
    device_s: float = 0.0


class Rates:
    """What a leg has done lately; times are of a clock that never goes back."""

    def __init__(self, now: float) -> None:
        self._begun = now
        self._seconds: deque[_Second] = deque()

    def add(self, receipt: Receipt, now: float) -> None:
        """Enter a commit."""
        if not self._seconds or now - self._seconds[-1].at >= 1:
            self._seconds.append(_Second(now))
        last = self._seconds[-1]
        last.partitions += 1
        last.rows += receipt.rows_in
        last.worked_s += sum(receipt.seconds.values())
        last.device_s += device_seconds(receipt.notes)

    def facts(self, now: float) -> dict[str, float]:
        """Return figures of the last minute, or of the time since the pass began.

        ``busy`` and ``device`` are worker seconds and device seconds a second: how many workers
        were at work on average, and how many of their models.
        """
        while self._seconds and now - self._seconds[0].at > WINDOW_S:
            self._seconds.popleft()
        over = max(1.0, min(WINDOW_S, now - self._begun))
        return {
            "over_s": over,
            "partitions_per_s": sum(one.partitions for one in self._seconds) / over,
            "rows_per_s": sum(one.rows for one in self._seconds) / over,
            "busy": sum(one.worked_s for one in self._seconds) / over,
            "device": sum(one.device_s for one in self._seconds) / over,
        }


class RunProgress(Reporter):
    """Hands on what it is told, and remembers what a person who looks on wants to know."""

    def __init__(
        self,
        told: Reporter,
        *,
        kind: Literal["run", "loop"] = "run",
        name: str = "",
    ) -> None:
        """Begin.

        Args:
            told: who is told as well.
            kind: what goes on in the folder.
            name: of the recipe.
        """
        self._told = told
        self._workers: Callable[[], Sequence[WorkerState]] = tuple
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {
            **{
                "kind": kind,
                "name": name,
                "engine": "",
                "doing": "preparing",
                "step": None,
                "pass": None,
            },
            **{"event_at": time.time(), "committed_at": None, "slowest_s": 0.0},
        }
        self._rates: dict[str, Rates] = {}
        self._since: dict[tuple[str, str, int | None], float] = {}

    def telling(self, folder: StorePath) -> AbstractContextManager[None]:
        """Write it into a run's folder while the block runs."""
        return telling(folder, self.facts)

    def seeing(self, engine: Callable[[], Engine]) -> Callable[[], Engine]:
        """Return what gives the same engine, whose workers are then told of."""

        def get() -> Engine:
            built = engine()
            self._workers = built.workers
            return built

        return get

    def facts(self) -> dict[str, Any]:
        """Return what ``progress.json`` says, as JSON values."""
        workers = self._workers()
        with self._lock:
            now = time.monotonic()
            rates = {folder: one.facts(now) for folder, one in self._rates.items()}
            return {**self._facts, "rates": rates, "workers": self._with_times(workers)}

    def _with_times(self, workers: Sequence[WorkerState]) -> list[dict[str, Any]]:
        """Add since when each worker is at its partition, as far as it was seen."""
        now = time.time()
        before, self._since = self._since, {}
        for one in workers:
            at = (one.worker, one.leg, one.partition)
            self._since[at] = before.get(at, now)
        return [
            {
                **dataclasses.asdict(one),
                "since": self._since[(one.worker, one.leg, one.partition)],
            }
            for one in workers
        ]

    def _now(self, **facts: Any) -> None:
        with self._lock:
            self._facts.update(facts, event_at=time.time())

    # -- what a reporter is told ---------------------------------------------------------------

    def engine_started(self, description: str) -> None:
        """Remember where the work is done."""
        self._now(engine=description)
        self._told.engine_started(description)

    def pass_begins(self, one: PassPlan, done: list[int], total: int | None) -> None:
        """Begin to measure."""
        now = time.monotonic()
        with self._lock:
            self._rates = {leg.node.folder: Rates(now) for leg in one.legs}
        legs = [leg.node.folder for leg in one.legs]
        self._now(
            doing=f"pass {one.index + 1}",
            step=None,
            **{"pass": {"index": one.index, "legs": legs, "total": total}},
        )
        self._told.pass_begins(one, done, total)

    def listed(self, total: int) -> None:
        """Remember how many partitions there are in all."""
        with self._lock:
            if self._facts["pass"] is not None:
                self._facts["pass"] = {**self._facts["pass"], "total": total}
        self._told.listed(total)

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        """Enter a commit."""
        with self._lock:
            self._rates[leg.node.folder].add(receipt, time.monotonic())
        took = max(self._facts["slowest_s"], sum(receipt.seconds.values()))
        self._now(committed_at=time.time(), slowest_s=took)
        self._told.committed(leg, receipt)

    def set_aside(self, leg: LegPlan, failure: Failure) -> None:
        """Hand on; the folder has it."""
        self._now()
        self._told.set_aside(leg, failure)

    def pass_ends(self, one: PassPlan) -> None:
        """Stop measuring."""
        with self._lock:
            self._rates = {}
        self._now(**{"pass": None})
        self._told.pass_ends(one)

    def barrier(self, node: Node, dropped: int | None) -> None:
        """Remember which barrier is resolved."""
        self._now(doing=f"resolving {node.stages[0]}" if dropped is None else "preparing")
        self._told.barrier(node, dropped)

    def step(self, name: str, done: int, total: int) -> None:
        """Remember how far a step after the passes is."""
        self._now(doing=name, step={"done": done, "total": total or None})
        self._told.step(name, done, total)

    def step_done(self, name: str, message: str) -> None:
        """Remember what a step says of itself."""
        self._now(doing=f"{name}: {message}", step=None)
        self._told.step_done(name, message)

    def say(self, line: str) -> None:
        """Remember a step's own line."""
        self._now(doing=line, step=None)
        self._told.say(line)
