"""The workers of a pass on a cluster that changes: asked for, made ready, lost, replaced, retired.

A *place* is one worker that a leg is entitled to. Nothing here waits: a worker joins when its setup
has come back, and one that no node has room for stays asked for, so that Ray starts it when room
comes. Nodes that join are looked for every few seconds, and the legs' entitlements grow with them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from curate.core.errors import CurateError, EngineError
from curate.core.plan import LegPlan
from curate.engine.base import EngineConfig, PassWork
from curate.engine.pools import Claim, Cluster, claims
from curate.engine.ray_worker import LegActor

#: A worker that died so often in a row before it was ready is given up.
MAX_STARTS = 3
#: Seconds between two looks at the cluster.
LOOK_S = 2.0
#: Seconds a leg may be without a worker, and no node have room for one, before others give way.
PATIENCE_S = 20.0
_REMOTE: Any = ray.remote(LegActor)


@dataclass(eq=False, slots=True)
class Place:
    """One worker of a leg, whichever process fills it.

    Attributes:
        leg: index of the leg in the pass.
        claim: what the process claims.
        name: of the process, in Ray's dashboard too.
        actor: the process; None while there is none.
        where: object reference of the node it runs on; there as soon as a node had room.
        setup: object reference of its setup; None once that has come back.
        node: where it runs, once it is ready.
        deaths: processes in a row that died here before they were ready.
        retiring: it gets nothing new and ends with what it has in hand.
        given: what it was given and has not answered, oldest first.
    """

    leg: int
    claim: Claim
    name: str = ""
    actor: Any = None
    where: Any = None
    setup: Any = None
    node: str = ""
    deaths: int = 0
    retiring: bool = False
    given: deque[Any] = field(default_factory=deque)

    @property
    def ready(self) -> bool:
        """Whether it can take work."""
        return self.actor is not None and self.setup is None and not self.retiring

    @property
    def placed(self) -> bool:
        """Whether a node had room for it."""
        return self.where is not None and bool(ray.wait([self.where], timeout=0)[0])


class Pools:
    """The places of all legs of one pass."""

    def __init__(self, work: PassWork, config: EngineConfig) -> None:
        """Share out the cluster as it is now; starts nothing.

        Raises:
            EngineError: the GPUs declared are more than the cluster has.
        """
        self._work_ref = ray.put(work)
        self._index = work.index
        self._legs: tuple[LegPlan, ...] = work.this.legs
        self._config = config
        self._cluster = self._seen = cluster_now()
        self._sizes = claims(self._legs, self._cluster, config.workers)
        self._given_up = [0] * len(self._legs)
        self._alive_at = [time.monotonic()] * len(self._legs)
        self._next_look = 0.0
        self._born = 0
        self.places: list[Place] = []
        self.losses = 0

    # -- what the loop asks --------------------------------------------------------------------

    def free(self, leg: int) -> Place | None:
        """Return the ready worker of a leg that has least in hand and room for more."""
        free = [p for p in self._ready(leg) if len(p.given) < self._config.flight]
        return min(free, key=lambda place: len(place.given), default=None)

    def capacity(self, leg: int) -> int:
        """Return how many partitions may wait for a leg, besides those in hand."""
        return max(1, len(self._ready(leg))) * self._config.flight

    def starting(self) -> dict[Any, Place]:
        """Return the workers that are not ready yet, by the reference that tells of it."""
        return {place.setup: place for place in self.places if place.setup is not None}

    # -- what happens to workers -----------------------------------------------------------------

    def settle(self, place: Place) -> None:
        """Take note of what a worker's setup came to.

        Raises:
            EngineError: the leg's workers keep dying while they start.
            CurateError: the leg cannot start anywhere: a model that cannot be loaded.
        """
        setup, place.setup = place.setup, None
        try:
            error = ray.get(setup)
            place.node = ray.get(place.where)
        except RayError as died:
            self._died_starting(place, died)
            return
        if isinstance(error, CurateError):
            raise error
        place.deaths = 0

    def lost(self, place: Place) -> bool:
        """Take note that a ready worker does not answer; returns whether its node still does.

        Another takes its place at the next look. A process that is merely cut off is ended, so
        that it cannot go on beside its successor.
        """
        self.losses += 1
        node, place.node = place.node, ""
        self._end(place)
        return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())

    def tend(self) -> None:
        """Look at the cluster every few seconds: fill places, make more, give up, retire.

        Raises:
            EngineError: a leg has been without a worker for too long.
        """
        for place in [p for p in self.places if p.retiring and not p.given]:
            self._end(place)
            self.places.remove(place)
        if time.monotonic() < self._next_look:
            return
        self._resize()
        self._fill()
        self._make_room()
        self._check_alive()
        self._next_look = time.monotonic() + LOOK_S

    def stop(self) -> None:
        """End the workers; what they had not committed is as if it never ran."""
        for place in self.places:
            self._end(place)
        self.places = []

    # -- how --------------------------------------------------------------------------------------

    def _ready(self, leg: int) -> list[Place]:
        return [place for place in self.places if place.leg == leg and place.ready]

    def _of_today(self, leg: int) -> list[Place]:
        """The places of a leg, less those of the time before or after there were GPUs."""
        gpus = self._sizes[leg].num_gpus
        return [
            place
            for place in self.places
            if place.leg == leg and place.claim.num_gpus == gpus and not place.retiring
        ]

    def _target(self, leg: int) -> int:
        return max(0, self._sizes[leg].workers - self._given_up[leg])

    def _resize(self) -> None:
        """Share out the cluster anew when it has changed."""
        now = cluster_now()
        if now == self._seen:
            return
        self._seen = now
        if self._cluster.gpus and not now.gpus:
            return  # the legs that run on GPUs wait for them: on CPUs they might say otherwise
        try:
            sizes = claims(self._legs, now, self._config.workers)
        except EngineError:
            return  # too few GPUs are left: those alive go on, the others wait for room
        self._cluster, self._sizes = now, sizes
        self._given_up = [0] * len(self._legs)  # there may be room now for what died

    def _fill(self) -> None:
        """Bring the legs to their number of places, and a process into each."""
        for leg, size in enumerate(self._sizes):
            mine = sorted(self._of_today(leg), key=lambda place: not place.ready)
            for place in mine[self._target(leg) :]:
                if not place.ready:  # nothing is lost with it
                    self._end(place)
                    self.places.remove(place)
            for _ in range(self._target(leg) - len(mine)):
                self.places.append(Place(leg, size))
            for place in mine:  # asked for when the cluster had more
                if not place.ready and place.claim.num_cpus > size.num_cpus and not place.placed:
                    self._end(place)
        empty = [place for place in self.places if place.actor is None]
        # what needs most comes first, before the small ones have taken a part of every node
        for place in sorted(empty, key=lambda place: self._appetite(place.leg), reverse=True):
            self._start(place)

    def _appetite(self, leg: int) -> tuple[float, float]:
        return self._sizes[leg].num_gpus, self._sizes[leg].num_cpus

    def _start(self, place: Place) -> None:
        place.claim = claim = self._sizes[place.leg]
        leg = self._legs[place.leg].name
        self._born += 1
        place.name = f"curate-{os.getpid()}-{self._index}.{place.leg}-{leg}-{self._born}"
        options: dict[str, Any] = {
            "num_cpus": claim.num_cpus,
            "num_gpus": claim.num_gpus,
            "max_concurrency": 1,
            "name": place.name,
        }
        if claim.memory_bytes:
            options["memory"] = claim.memory_bytes
        place.actor = _REMOTE.options(**options).remote(self._work_ref, place.leg, str(Path.cwd()))
        place.where = place.actor.where.remote()
        place.setup = place.actor.setup.remote()

    @staticmethod
    def _end(place: Place) -> None:
        if place.actor is not None:
            with contextlib.suppress(RayError):  # it is gone already, or its cluster is
                ray.kill(place.actor)
        place.actor = place.where = place.setup = None

    def _died_starting(self, place: Place, error: RayError) -> None:
        self._end(place)
        place.deaths += 1
        if place.deaths < MAX_STARTS:
            return
        self.places.remove(place)
        self._given_up[place.leg] += 1
        if not any(other.leg == place.leg for other in self.places):
            raise EngineError(
                f"a worker of {self._legs[place.leg].name} died {MAX_STARTS} times while it "
                f"started, the last time of: {error}\nOften the memory does not suffice: see the "
                "dashboard's logs, declare what a worker needs (memory_gib) or take fewer workers "
                "(engine.workers)"
            ) from error

    def _make_room(self) -> None:
        """Retire what stands in the way of others, one after the other."""
        legs = range(len(self._legs))
        for leg in legs:  # GPUs have come: the workers on CPUs end with what they have in hand
            today = self._of_today(leg)
            if any(place.ready for place in today):
                for place in self.places:
                    place.retiring |= place.leg == leg and place not in today
        long_ago = time.monotonic() - PATIENCE_S
        waiting = [leg for leg in legs if self._alive_at[leg] < long_ago and not self._placed(leg)]
        if waiting and not any(place.retiring for place in self.places):
            self._give_way(waiting[0])

    def _placed(self, leg: int) -> bool:
        return any(place.placed for place in self.places if place.leg == leg)

    def _give_way(self, waiting: int) -> None:
        """Retire a worker of another leg, for one that has none and that no node has room for.

        First those that claim more than their share is today, and get smaller successors; then,
        without successors, where most can be freed on one node. A leg's last worker stays.
        """
        others = [leg for leg in range(len(self._legs)) if leg != waiting]
        for place in [place for leg in others for place in self._ready(leg)]:
            if place.claim.num_cpus > self._sizes[place.leg].num_cpus:
                place.retiring = True
                return
        spare = [place for leg in others for place in self._ready(leg)[1:]]
        held: defaultdict[str, float] = defaultdict(float)
        for place in spare:
            held[place.node] += place.claim.num_cpus
        if spare:
            most = max(held, key=held.__getitem__)
            place = next(place for place in spare if place.node == most)
            place.retiring = True
            self._given_up[place.leg] += 1

    def _check_alive(self) -> None:
        now = time.monotonic()
        for leg, plan in enumerate(self._legs):
            if self._ready(leg):
                self._alive_at[leg] = now
            elif now - self._alive_at[leg] > self._config.start_timeout_s:
                claim, have = self._sizes[leg], self._seen
                raise EngineError(
                    f"no worker of {plan.name} for {self._config.start_timeout_s:g} s: one claims "
                    f"{claim.num_cpus:g} CPUs, {claim.num_gpus:g} GPUs and "
                    f"{claim.memory_bytes / 2**30:g} GiB on one node, and the cluster has "
                    f"{have.cpus:g} CPUs and {have.gpus:g} GPUs in all. 'ray status' shows what "
                    "waits: add nodes, let stages ask for less, or wait longer "
                    "(engine.start_timeout_s); the same command goes on"
                )


def cluster_now() -> Cluster:
    """Return what the living nodes of the cluster have."""
    have = ray.cluster_resources()
    return Cluster(cpus=float(have.get("CPU", 0)), gpus=float(have.get("GPU", 0)))
