"""What every engine shares: its settings, the description of a pass, and what it reports.

An engine decides where the work of a leg runs; ``engine/worker.py`` is the work itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveInt

from curate.core.config import FrozenConfig
from curate.core.errand import Errand
from curate.core.location import StorePath
from curate.core.partition import Partition
from curate.core.plan import Node, PassPlan, Plan
from curate.core.store import Receipt

#: A partition that failed so often is set aside, and the run goes on.
MAX_ATTEMPTS = 3


class EngineConfig(FrozenConfig):
    """Where the work is done.

    Attributes:
        kind: ``local`` runs in this process; ``ray`` on a Ray cluster, started here if none runs.
        address: Ray cluster to join; None takes the one of the environment (``RAY_ADDRESS``, a
            running ``ray job``, a cluster started on this machine), else starts one here.
        workers: number of workers by leg (its first stage with resources, e.g. ``fetch: 8``);
            a leg not named here gets what the cluster has room for.
        flight: partitions in flight per worker: one worked on, the others waiting beside it.
        start_timeout_s: how long a leg may be without any worker that is ready, on Ray: while
            models load, or while the nodes it needs are away.
    """

    kind: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: dict[str, PositiveInt] = Field(default_factory=dict)
    flight: int = Field(2, ge=1, le=64)
    start_timeout_s: float = Field(600.0, ge=1, le=86_400)


@dataclass(frozen=True, slots=True)
class PassWork:
    """One pass over a run, ready for an engine; pickles small.

    Attributes:
        root: the run's folder.
        plan: the whole plan.
        index: which pass.
    """

    root: StorePath
    plan: Plan
    index: int

    @property
    def this(self) -> PassPlan:
        """The pass itself."""
        return self.plan.passes[self.index]

    def nodes_before(self, leg: int) -> tuple[Node, ...]:
        """Steps whose output a leg of this pass reads, in order."""
        own = self.this.legs[leg].node
        nodes = self.plan.nodes
        return nodes[: next(i for i, node in enumerate(nodes) if node is own or node == own)]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A partition to take through the legs of a pass.

    Attributes:
        partition: which.
        first: index of the first leg it has to go through.
        errand: None takes the partition itself; else its rows that are to be tried again or were
            left behind are taken, and committed as supplements.
    """

    partition: Partition
    first: int = 0
    errand: Errand | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A partition that a leg could not finish.

    Attributes:
        leg: index of the leg in the pass.
        partition: the partition.
        error: the last error, one line.
        traceback: of the last attempt.
        attempts: how often it was tried.
    """

    leg: int
    partition: Partition
    error: str
    traceback: str
    attempts: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker is doing.

    Attributes:
        worker: its name, the same as long as it lives.
        leg: name of its leg.
        state: ``starting`` also while no node has room for it; ``retiring`` ends with what it has.
        partition: number of the partition it is working on, or None.
        waiting: partitions that wait beside it.
        node: where it runs; empty in this process or while it starts.
    """

    worker: str
    leg: str
    state: Literal["starting", "waiting", "working", "retiring"]
    partition: int | None = None
    waiting: int = 0
    node: str = ""


#: Called on the driver, with the leg's index, for every commit.
OnReceipt = Callable[[int, Receipt], None]
#: Called on the driver for every partition that is set aside.
OnFailure = Callable[[Failure], None]


class Engine(ABC):
    """Runs passes. Holds workers between passes, so that a model is loaded once."""

    @abstractmethod
    def run_pass(
        self,
        work: PassWork,
        assignments: Iterable[Assignment],
        on_receipt: OnReceipt,
        on_failure: OnFailure,
    ) -> None:
        """Take every partition through the legs of a pass.

        Args:
            work: the pass.
            assignments: streamed; no two of one partition.
            on_receipt: told of every commit.
            on_failure: told of every partition that failed ``MAX_ATTEMPTS`` times.

        Raises:
            CurateError: what concerns the whole run: a full disk, a model that cannot be loaded, a
                broken law. Nothing half-done is left behind.
        """

    def workers(self) -> Sequence[WorkerState]:
        """Return what the workers were doing a moment ago; may be called from another thread.

        Nothing of an engine that nobody looks at.
        """
        return ()

    @abstractmethod
    def describe(self) -> str:
        """Return one line for people: where the work is done, and the dashboard's address."""

    @abstractmethod
    def close(self) -> None:
        """Give the workers back."""


def build(config: EngineConfig) -> Engine:
    """Build the engine a recipe asks for.

    Raises:
        EngineError: the cluster cannot be reached.
    """
    if config.kind == "ray":
        from curate.engine.ray_actors import RayEngine

        return RayEngine(config)
    from curate.engine.local import LocalEngine

    return LocalEngine()
