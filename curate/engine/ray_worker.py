"""The actor around a leg's worker, with its metrics."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import ray

from curate.core.errors import CurateError, EngineError, StageError
from curate.core.meters import count
from curate.core.store import Receipt
from curate.engine.base import Assignment, PassWork
from curate.engine.ray_metrics import RayMeters
from curate.engine.worker import LegWorker

Outcome = Receipt | CurateError


class LegActor:
    """Runs one leg for many partitions. Errors travel as values, so that the actor lives on."""

    def __init__(self, work: PassWork, leg: int, folder: str) -> None:
        if Path(folder).is_dir():  # relative paths mean the same as on the driver
            os.chdir(folder)
        self._name = work.this.legs[leg].name
        self._work = work
        self._leg = leg
        self._worker: LegWorker | None = None
        self._meters = RayMeters(work.root.name)

    def __repr__(self) -> str:
        """Name the leg in the dashboard and in logs."""
        return f"curate({self._name})"

    def where(self) -> str:
        """Return the node's identity: the first answer, long before models are loaded."""
        return str(ray.get_runtime_context().get_node_id())

    def setup(self) -> CurateError | None:
        """Build the stages and load their models; an error comes back as a value."""
        try:
            self._worker = LegWorker(self._work, self._leg)
            self._worker.setup()
        except CurateError as error:
            return error
        except Exception:  # the boundary between a worker and the driver
            return EngineError(f"{self._name} cannot start on a worker:\n{traceback.format_exc()}")
        return None

    def run(self, assignment: Assignment, handed: Any) -> tuple[Any, Outcome]:
        """Take a partition through the leg: the table for the next leg, and what came of it."""
        assert self._worker is not None
        try:
            table, receipt = self._worker.run(assignment, handed)
        except StageError as error:
            failure = StageError(str(error))
            failure.__dict__.update(of_partition=True, trace=traceback.format_exc())
            return None, failure
        except CurateError as error:
            return None, error
        except Exception:  # a defect of ours: the whole run stops, with the trace
            return None, EngineError(
                f"{self._name}, {assignment.partition}:\n{traceback.format_exc()}"
            )
        count(receipt, self._meters, leg=self._name)
        return table, receipt
