"""The ray engine: a pool of long-lived actors per leg, a bounded number of partitions in flight.

The driver hands out partition descriptors and gets small receipts back; tables go from leg to leg
as object references and never touch it. A dead actor is replaced and its partitions go to another;
a table lost with its node is read again from the store, where the leg before has committed it.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util import metrics

from curate.core.errors import CurateError, EngineError
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
)
from curate.engine.pools import Claim, Cluster, claims
from curate.engine.ray_worker import LegActor, Outcome

START_TIMEOUT_S = 600.0
_REMOTE: Any = ray.remote(LegActor)


@dataclass
class _Task:
    """A partition on its way through a leg."""

    assignment: Assignment
    leg: int
    table: Any = None  # object reference of the table handed on, or None
    attempts: int = 0


@dataclass
class _Slot:
    """One actor and what it has been given, oldest first."""

    leg: int
    actor: Any
    given: deque[tuple[Any, Any, _Task]] = field(default_factory=deque)


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

    def describe(self) -> str:
        """Return the cluster's size and the dashboard's address."""
        cluster = _cluster()
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
        sizes = claims(work.this.legs, _cluster(), self._config.workers)
        running = _Pass(work, sizes, self._config.flight, on_receipt, on_failure)
        try:
            running.start()
            running.drain(iter(assignments))
        finally:
            running.stop()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._started:
            ray.shutdown()


class _Pass:
    """The driver's side of one pass."""

    def __init__(
        self,
        work: PassWork,
        sizes: list[Claim],
        flight: int,
        on_receipt: OnReceipt,
        on_failure: OnFailure,
    ) -> None:
        self._work_ref = ray.put(work)
        self._legs: tuple[LegPlan, ...] = work.this.legs
        self._sizes = sizes
        self._flight = flight
        self._on_receipt = on_receipt
        self._on_failure = on_failure
        self._slots: list[_Slot] = []
        self._waiting: list[deque[_Task]] = [deque() for _ in self._legs]
        self._index = work.index
        self._born = 0
        self._in_flight = metrics.Gauge(
            "curate_in_flight",
            description="Partitions given to workers or waiting for one.",
            tag_keys=("leg",),
        )
        self._told = 0.0

    # -- actors ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the pools and load the models; returns when every worker is ready.

        Raises:
            EngineError: the workers did not come up.
            ModelError: a model cannot be loaded.
        """
        for leg, size in enumerate(self._sizes):
            self._slots += [self._spawn(leg) for _ in range(size.workers)]
        self._await_ready(self._slots)

    def _spawn(self, leg: int) -> _Slot:
        size = self._sizes[leg]
        name = self._legs[leg].name
        self._born += 1
        options: dict[str, Any] = {
            "num_cpus": size.num_cpus,
            "num_gpus": size.num_gpus,
            "max_concurrency": 1,
            "name": f"curate-{os.getpid()}-{self._index}.{leg}-{name}-{self._born}",
        }
        if size.memory_bytes:
            options["memory"] = size.memory_bytes
        actor = _REMOTE.options(**options).remote(self._work_ref, leg, str(Path.cwd()))
        return _Slot(leg, actor)

    def _await_ready(self, slots: list[_Slot]) -> None:
        calls = {slot.actor.setup.remote(): slot for slot in slots}
        ready, late = ray.wait(list(calls), num_returns=len(calls), timeout=START_TIMEOUT_S)
        if late:
            leg = self._legs[calls[late[0]].leg]
            raise EngineError(
                f"{len(late)} worker(s) of {leg.name} did not start in {START_TIMEOUT_S:.0f} s: "
                "see the dashboard's actors page for what they wait for"
            )
        for ref in ready:
            try:
                error = ray.get(ref)
            except RayError as failure:
                leg = self._legs[calls[ref].leg]
                raise EngineError(
                    f"a worker of {leg.name} died while starting: {failure}"
                ) from failure
            if error is not None:
                raise error

    def stop(self) -> None:
        """End the actors; what they had not committed is as if it never ran."""
        for slot in self._slots:
            ray.kill(slot.actor)
        self._slots = []

    # -- the loop --------------------------------------------------------------------------------

    def drain(self, assignments: Iterator[Assignment]) -> None:
        """Feed the pools until every partition has gone through."""
        source: Iterator[Assignment] | None = assignments
        while True:
            source = self._feed(source)
            self._tell()
            refs = {slot.given[0][1]: slot for slot in self._slots if slot.given}
            if not refs:
                assert source is None and not any(self._waiting)
                return
            ready, _ = ray.wait(list(refs), num_returns=1, timeout=5.0, fetch_local=True)
            for ref in ready:
                self._collect(refs[ref])

    def _feed(self, source: Iterator[Assignment] | None) -> Iterator[Assignment] | None:
        """Hand out what waits, and take partitions from the stream while the first leg has room."""
        self._hand_out()
        while source is not None and self._free_slot(0) is not None and not self._backed_up():
            following = next(source, None)
            if following is None:
                return None
            self._waiting[following.first].append(_Task(following, following.first))
            self._hand_out()
        return source

    def _tell(self) -> None:
        """Keep the gauge up to date, once a second."""
        if time.monotonic() - self._told < 1:
            return
        self._told = time.monotonic()
        for number, leg in enumerate(self._legs):
            given = sum(len(slot.given) for slot in self._slots if slot.leg == number)
            self._in_flight.set(given + len(self._waiting[number]), tags={"leg": leg.name})

    def _hand_out(self) -> None:
        """Give every free place the oldest task that waits for it, the latest leg first."""
        for leg in reversed(range(len(self._legs))):
            while self._waiting[leg] and (slot := self._free_slot(leg)) is not None:
                self._submit(slot, self._waiting[leg].popleft())

    def _backed_up(self) -> bool:
        """Whether a later leg has more waiting than it can hold: memory is bounded."""
        return any(
            len(waiting) >= size.workers * self._flight
            for waiting, size in zip(self._waiting[1:], self._sizes[1:], strict=True)
        )

    def _free_slot(self, leg: int) -> _Slot | None:
        free = [s for s in self._slots if s.leg == leg and len(s.given) < self._flight]
        return min(free, key=lambda slot: len(slot.given), default=None)

    def _submit(self, slot: _Slot, task: _Task) -> None:
        table, outcome = slot.actor.run.options(num_returns=2).remote(task.assignment, task.table)
        slot.given.append((table, outcome, task))

    def _collect(self, slot: _Slot) -> None:
        table, ref, task = slot.given.popleft()
        try:
            outcome: Outcome = ray.get(ref)
        except RayActorError as error:
            self._replace(slot, task, error)
            return
        except RayError as error:  # a table lost with its node, a worker out of memory
            self._again(task, f"{type(error).__name__}: {error}", str(error), lost=True)
            return
        if isinstance(outcome, Receipt):
            self._on_receipt(task.leg, outcome)
            if task.leg + 1 < len(self._legs):
                self._waiting[task.leg + 1].append(_Task(task.assignment, task.leg + 1, table))
        elif isinstance(outcome, CurateError) and not outcome.__dict__.get("of_partition"):
            raise outcome
        else:
            self._again(task, str(outcome), outcome.__dict__.get("trace", ""), lost=False)

    def _again(self, task: _Task, error: str, trace: str, *, lost: bool) -> None:
        """Try a partition once more, or give it up."""
        task.attempts += 1
        if task.attempts >= MAX_ATTEMPTS:
            partition = task.assignment.partition
            self._on_failure(Failure(task.leg, partition, error, trace, task.attempts))
            return
        if lost:
            task.table = None  # the leg before has committed it: read it from the store
        self._waiting[task.leg].appendleft(task)

    def _replace(self, slot: _Slot, oldest: _Task, error: RayActorError) -> None:
        """Start another actor for a dead one; what it was working on counts as an attempt."""
        self._slots.remove(slot)
        for _, _, task in reversed(slot.given):
            task.table = None
            self._waiting[task.leg].appendleft(task)
        self._again(oldest, f"a worker died: {error}", str(error), lost=True)
        fresh = self._spawn(slot.leg)
        self._slots.append(fresh)
        self._await_ready([fresh])


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


def _cluster() -> Cluster:
    have = ray.cluster_resources()
    return Cluster(cpus=float(have.get("CPU", 0)), gpus=float(have.get("GPU", 0)))
