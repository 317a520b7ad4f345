"""The ray engine: a pool of long-lived actors per leg, a bounded number of partitions in flight.

The driver hands out partition descriptors and gets small receipts back; tables go from leg to leg
as object references and never touch it. A lost worker's partitions go to another (``ray_pool``
keeps the pools); a table lost with its node is read again from the store, where the leg before has
committed it.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayActorError, RayError

from curate.core.atomic import sweep_temporaries
from curate.core.errors import CurateError, DeviceFailed, EngineError
from curate.core.meters import IN_FLIGHT, RETRIES, SET_ASIDE, WORKERS
from curate.core.plan import LegPlan
from curate.core.store import Receipt
from curate.engine.base import (
    MAX_ATTEMPTS,
    Assignment,
    Engine,
    EngineConfig,
    Failure,
    OnFailure,
    OnReceipt,
    PassWork,
    WorkerState,
)
from curate.engine.ray_metrics import RayMeters
from curate.engine.ray_pool import LOOK_S, Place, Pools, cluster_now
from curate.engine.ray_worker import Outcome

#: A partition whose workers were lost so often through no fault of its own is set aside too.
MAX_LOSSES = 10
#: Seconds between two looks at what the workers do.
TELL_S = 1.0

#: Why a partition is tried again.
Cause = Literal["failed", "device_failed", "worker_lost", "node_lost"]


@dataclass
class _Task:
    """A partition on its way through a leg."""

    assignment: Assignment
    leg: int
    table: Any = None  # object reference of the table handed on, or None
    attempts: int = 0
    losses: int = 0


class RayEngine(Engine):
    """Runs passes on a Ray cluster."""

    def __init__(self, config: EngineConfig) -> None:
        """Join the cluster, or start one on this machine.

        Raises:
            EngineError: the cluster named cannot be reached.
        """
        self._config = config
        self._started = not ray.is_initialized()
        self._dashboard = connect(config.address) if self._started else ""
        self._pass: _Pass | None = None

    def workers(self) -> tuple[WorkerState, ...]:
        """Return what the actors were doing at most a second ago."""
        return self._pass.workers if self._pass is not None else ()

    def describe(self) -> str:
        """Return the cluster's size and the dashboard's address."""
        cluster = cluster_now()
        said = f"on Ray: {cluster.cpus:g} CPUs, {cluster.gpus:g} GPUs"
        return said + (f", dashboard http://{self._dashboard}" if self._dashboard else "")

    def run_pass(
        self,
        work: PassWork,
        assignments: Iterable[Assignment],
        on_receipt: OnReceipt,
        on_failure: OnFailure,
    ) -> None:
        """Take every partition through the legs of a pass; see ``Engine.run_pass``."""
        pools = Pools(work, self._config)
        self._pass = _Pass(work, pools, on_receipt, on_failure)
        try:
            self._pass.drain(iter(assignments))
        finally:
            pools.stop()
            self._pass.tell()
        if pools.losses:  # everything is committed: what dead workers left half-written is litter
            for folder in ("passes", "added"):
                sweep_temporaries(work.root / folder)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._started:
            ray.shutdown()


class _Pass:
    """The driver's side of one pass."""

    def __init__(
        self, work: PassWork, pools: Pools, on_receipt: OnReceipt, on_failure: OnFailure
    ) -> None:
        self._legs: tuple[LegPlan, ...] = work.this.legs
        self._pools = pools
        self._on_receipt = on_receipt
        self._on_failure = on_failure
        self._waiting: list[deque[_Task]] = [deque() for _ in self._legs]
        self._meters = RayMeters(work.root.name)
        self.workers: tuple[WorkerState, ...] = ()
        self._told = 0.0

    # -- the loop --------------------------------------------------------------------------------

    def drain(self, assignments: Iterator[Assignment]) -> None:
        """Feed the pools until every partition has gone through."""
        source: Iterator[Assignment] | None = assignments
        while True:
            self._pools.tend()
            source = self._feed(source)
            if time.monotonic() - self._told >= TELL_S:
                self.tell()
            working = {place.given[0][1]: place for place in self._pools.places if place.given}
            if not working and source is None and not any(self._waiting):
                return
            starting = self._pools.starting()
            awaited = [*working, *starting]
            if not awaited:  # every worker was lost, and the next look replaces them
                time.sleep(LOOK_S / 4)
                continue
            for ref in ray.wait(awaited, num_returns=1, timeout=LOOK_S, fetch_local=True)[0]:
                if ref in starting:
                    self._pools.settle(starting[ref])
                else:
                    self._collect(working[ref])

    def _feed(self, source: Iterator[Assignment] | None) -> Iterator[Assignment] | None:
        """Hand out what waits, and take partitions from the stream while the first leg has room."""
        self._hand_out()
        while source is not None and self._pools.free(0) is not None and not self._backed_up():
            following = next(source, None)
            if following is None:
                return None
            self._waiting[following.first].append(_Task(following, following.first))
            self._hand_out()
        return source

    def tell(self) -> None:
        """Say what the workers do: to Ray's metrics, and to who asks the engine."""
        self._told = time.monotonic()
        self.workers = tuple(
            _state_of(place, self._legs[place.leg]) for place in self._pools.places
        )
        for number, leg in enumerate(self._legs):
            given = sum(len(place.given) for place in self._pools.places if place.leg == number)
            self._meters.add(IN_FLIGHT, given + len(self._waiting[number]), leg=leg.name)
            states = Counter(worker.state for worker in self.workers if worker.leg == leg.name)
            for state in ("starting", "waiting", "working", "retiring"):
                self._meters.add(WORKERS, states[state], leg=leg.name, state=state)

    def _hand_out(self) -> None:
        """Give every free place the oldest task that waits for it, the latest leg first."""
        for leg in reversed(range(len(self._legs))):
            while self._waiting[leg] and (place := self._pools.free(leg)) is not None:
                self._submit(place, self._waiting[leg].popleft())

    def _backed_up(self) -> bool:
        """Whether a later leg has more waiting than it can hold: memory is bounded."""
        return any(
            len(waiting) >= self._pools.capacity(leg)
            for leg, waiting in enumerate(self._waiting)
            if leg
        )

    def _submit(self, place: Place, task: _Task) -> None:
        table, outcome = place.actor.run.options(num_returns=2).remote(task.assignment, task.table)
        place.given.append((table, outcome, task))

    def _collect(self, place: Place) -> None:
        table, ref, task = place.given.popleft()
        try:
            outcome: Outcome = ray.get(ref)
        except RayActorError as error:
            self._lost(place, task, error)
            return
        except RayError as error:  # a table lost with its node, a worker out of memory
            blameless = task.table is not None and isinstance(error, ObjectLostError)
            said = f"{type(error).__name__}: {error}"
            self._again(task, said, str(error), "worker_lost", blameless=blameless)
            return
        if isinstance(outcome, DeviceFailed):  # its process is of no more use
            self._hand_back(place)
            self._pools.lost(place)
            self._again(task, str(outcome), str(outcome), "device_failed")
        elif isinstance(outcome, Receipt):
            self._on_receipt(task.leg, outcome)
            if task.leg + 1 < len(self._legs):
                self._waiting[task.leg + 1].append(_Task(task.assignment, task.leg + 1, table))
        elif isinstance(outcome, CurateError) and not outcome.__dict__.get("of_partition"):
            raise outcome
        else:
            self._again(task, str(outcome), outcome.__dict__.get("trace", ""), "failed")

    def _again(
        self, task: _Task, error: str, trace: str, cause: Cause, *, blameless: bool = False
    ) -> None:
        """Try a partition once more, or give it up: sooner when the fault may be its own."""
        task.attempts += not blameless
        task.losses += blameless
        if task.attempts >= MAX_ATTEMPTS or task.losses >= MAX_LOSSES:
            tried = task.attempts + task.losses
            partition = task.assignment.partition
            self._meters.add(SET_ASIDE, 1, leg=self._legs[task.leg].name)
            self._on_failure(Failure(task.leg, partition, error, trace, tried))
            return
        self._meters.add(RETRIES, 1, leg=self._legs[task.leg].name, cause=cause)
        if cause != "failed":
            task.table = None  # the leg before has committed it: read it from the store
        self._waiting[task.leg].appendleft(task)

    def _hand_back(self, place: Place) -> None:
        """Let others do what a worker has not begun."""
        for _, _, task in reversed(place.given):
            task.table = None
            self._waiting[task.leg].appendleft(task)
        place.given.clear()

    def _lost(self, place: Place, oldest: _Task, error: RayActorError) -> None:
        """Give what a lost worker had to others.

        What it was working on may have been its death, and counts as an attempt; not so when it
        went down with its node or is only cut off.
        """
        self._hand_back(place)
        node_lives = self._pools.lost(place)
        blameless = isinstance(error, ActorUnavailableError) or not node_lives
        said = f"a worker died: {error}"
        cause: Cause = "worker_lost" if node_lives else "node_lost"
        self._again(oldest, said, str(error), cause, blameless=blameless)


def _state_of(place: Place, leg: LegPlan) -> WorkerState:
    """Return what the worker of a place is doing."""
    state: Literal["starting", "waiting", "working", "retiring"] = "starting"
    if place.retiring:
        state = "retiring"
    elif place.ready:
        state = "working" if place.given else "waiting"
    number = place.given[0][2].assignment.partition.number if place.given else None
    waiting = max(0, len(place.given) - 1)
    return WorkerState(place.name, leg.name, state, number, waiting, place.node)


def connect(address: str | None) -> str:
    """Join or start a cluster, quietly; returns the dashboard's address.

    Raises:
        EngineError: nobody answers at the address.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _knock(address)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice of Ray's that its users cannot act on
            context = ray.init(
                address=address,
                include_dashboard=None if address else True,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except (OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise EngineError(
            f"no Ray cluster {where}: {error}. Start one with 'ray start --head', leave "
            "'engine.address' out to have one started here, or take '--engine local'; a cluster "
            "that asks for a token wants RAY_AUTH_MODE=token"
        ) from error
    return str(context.dashboard_url or "")


def _knock(address: str) -> None:
    """Look whether anybody listens at ``host:port``: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
