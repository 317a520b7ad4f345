"""The local engine: a for-loop that defines the meaning of every other."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

import pyarrow as pa

from curate.core.errors import StageError
from curate.core.store import Receipt
from curate.engine.base import (
    MAX_ATTEMPTS,
    Assignment,
    Engine,
    Failure,
    OnFailure,
    OnReceipt,
    PassWork,
    WorkerState,
)
from curate.engine.worker import LegWorker


class LocalEngine(Engine):
    """One partition after the other, through all legs of a pass, in this process."""

    def __init__(self) -> None:
        """Begin with no workers."""
        self._workers: tuple[WorkerState, ...] = ()

    def run_pass(
        self,
        work: PassWork,
        assignments: Iterable[Assignment],
        on_receipt: OnReceipt,
        on_failure: OnFailure,
    ) -> None:
        """Take every partition through the legs of a pass; see ``Engine.run_pass``."""
        workers: dict[int, LegWorker] = {}
        names = [leg.name for leg in work.this.legs]
        try:
            for assignment in assignments:
                table: pa.Table | None = None
                for leg in range(assignment.first, len(work.this.legs)):
                    if leg not in workers:  # a pass with nothing to do loads no model
                        self._workers = (WorkerState("here", names[leg], "starting"),)
                        worker = LegWorker(work, leg)
                        worker.setup()
                        workers[leg] = worker
                    number = assignment.partition.number
                    self._workers = (WorkerState("here", names[leg], "working", number),)
                    outcome = attempt(workers[leg], leg, assignment, table)
                    if isinstance(outcome, Failure):
                        on_failure(outcome)
                        break
                    table, receipt = outcome
                    on_receipt(leg, receipt)
        finally:
            self._workers = ()
            for worker in workers.values():
                worker.close()

    def workers(self) -> tuple[WorkerState, ...]:
        """Return what this process is doing."""
        return self._workers

    def describe(self) -> str:
        """Return where the work is done."""
        return "in this process"

    def close(self) -> None:
        """Nothing is held between passes."""


def attempt(
    worker: LegWorker, leg: int, assignment: Assignment, table: pa.Table | None
) -> tuple[pa.Table | None, Receipt] | Failure:
    """Take a partition through a leg, again where a stage raises; a failure after the last time."""
    for turn in range(1, MAX_ATTEMPTS + 1):
        try:
            return worker.run(assignment, table)
        except StageError as error:
            if turn == MAX_ATTEMPTS:
                trace = traceback.format_exc()
                return Failure(leg, assignment.partition, str(error), trace, turn)
    raise AssertionError("unreachable")
