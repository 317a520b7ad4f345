"""The local engine with a watch: what each worker's start and each partition took.

Workers are kept until the engine is closed, so that a second helping of partitions finds them
warm: what a run pays once is told from what it pays for every partition.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from curate.core.store import Receipt
from curate.engine.base import Assignment, Engine, Failure, OnFailure, OnReceipt, PassWork
from curate.engine.local import attempt
from curate.engine.worker import LegWorker


@dataclass(frozen=True, slots=True)
class Call:
    """A partition's way through a leg.

    Attributes:
        number: of the partition.
        seconds: from taking it up to its commit.
        receipt: what was committed.
    """

    number: int
    seconds: float
    receipt: Receipt


class TimedEngine(Engine):
    """One partition after the other in this process, timed.

    Attributes:
        starts: seconds until a leg's worker was ready, by pass and leg.
        calls: what it did, by pass and leg, in order.
    """

    def __init__(self) -> None:
        self.starts: dict[tuple[int, int], float] = {}
        self.calls: dict[tuple[int, int], list[Call]] = {}
        self._workers: dict[tuple[int, int], LegWorker] = {}

    def run_pass(
        self,
        work: PassWork,
        assignments: Iterable[Assignment],
        on_receipt: OnReceipt,
        on_failure: OnFailure,
    ) -> None:
        """Take every partition through the legs of a pass; see ``Engine.run_pass``."""
        for assignment in assignments:
            table: pa.Table | None = None
            for leg in range(assignment.first, len(work.this.legs)):
                worker = self._ready(work, leg)
                begun = time.perf_counter()
                outcome = attempt(worker, leg, assignment, table)
                seconds = time.perf_counter() - begun
                if isinstance(outcome, Failure):
                    on_failure(outcome)
                    break
                table, receipt = outcome
                call = Call(assignment.partition.number, seconds, receipt)
                self.calls.setdefault((work.index, leg), []).append(call)
                on_receipt(leg, receipt)

    def _ready(self, work: PassWork, leg: int) -> LegWorker:
        key = (work.index, leg)
        if key not in self._workers:
            begun = time.perf_counter()
            worker = LegWorker(work, leg)
            worker.setup()
            self._workers[key] = worker
            self.starts[key] = time.perf_counter() - begun
        return self._workers[key]

    def describe(self) -> str:
        """Return where the work is done."""
        return "in this process, timed"

    def close(self) -> None:
        """Give the workers back."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
