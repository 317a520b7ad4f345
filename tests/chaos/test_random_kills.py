"""SIGKILL at random moments, again and again, until a run gets through: everything as undisturbed.

    CURATE_CHAOS_KILLS=10000 CURATE_CHAOS_SEED=7 python -m pytest tests/chaos -m slow -s

Three kills in ten are on Ray. The seed decides the moments and the victims; it is printed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.chaos import command
from tests.chaos.undisturbed import Undisturbed, assert_same
from tests.engine.clusters import Node, OwnCluster, own_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

KILLS = int(os.environ.get("CURATE_CHAOS_KILLS", "100"))
SEED = int(os.environ.get("CURATE_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
ON_RAY = round(KILLS * 0.3)
VICTIMS = ("driver", "actor", "node")


def test_local(undisturbed: Undisturbed, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    kills = runs = 0
    begun = time.monotonic()
    while kills < KILLS - ON_RAY:
        runs += 1
        root = tmp_path / f"run{runs}"
        said = root.with_suffix(".said")
        while True:
            process = command.start(["run", undisturbed.recipe, "--output", root], said)
            if not command.killed_after(process, rng.uniform(0, undisturbed.seconds)):
                break
            kills += 1
        assert process.exitcode == 0, f"seed {SEED}, run {runs}: {said.read_text()[-6000:]}"
        assert_same(undisturbed, root)
        shutil.rmtree(root)
    took = time.monotonic() - begun
    print(f"\nlocal, seed {SEED}: {kills} kills, {runs} runs, {took:.0f} s")


class Cluster:
    """Two nodes, of which the second is killed and replaced."""

    def __init__(self, cluster: OwnCluster) -> None:
        self._cluster = cluster
        self._second = cluster.add(cpus=2)
        self.environment = {"RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "disabled"}

    def actors(self) -> list[psutil.Process]:
        """Return the living workers: starting, idle or at work."""
        words = ("ray::LegActor", "ray::curate(")
        return [one for node in self._nodes for word in words for one in node.processes(word)]

    def kill_second_node(self) -> None:
        """Kill its raylet; whatever hung on it goes too, and another node joins."""
        for process in self._second.processes("raylet/raylet"):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._second.kill()
        self._second = self._cluster.add(cpus=2)

    @property
    def _nodes(self) -> list[Node]:
        return [self._cluster.nodes[0], self._second]


def test_ray(undisturbed: Undisturbed, tmp_path: Path) -> None:
    rng = random.Random(SEED + 1)
    killed: Counter[str] = Counter()
    runs = 0
    begun = time.monotonic()
    with own_cluster(head_cpus=2) as own:
        cluster = Cluster(own)
        while sum(killed[victim] for victim in VICTIMS) < ON_RAY:
            runs += 1
            root = tmp_path / f"run{runs}"
            run_under_fire(undisturbed, root, cluster, rng, killed)
            assert_same(undisturbed, root)
            shutil.rmtree(root)
    took = time.monotonic() - begun
    assert ON_RAY < 20 or {*VICTIMS} <= {*killed}
    print(f"\nray, seed {SEED}: {dict(killed)}, {runs} runs, {took:.0f} s")


def run_under_fire(
    undisturbed: Undisturbed, root: Path, cluster: Cluster, rng: random.Random, killed: Counter[str]
) -> None:
    """Run to the end, after some kills of driver, workers and a node, seconds apart.

    A driver that ends by itself has to end well, or with a clear error that workers died while
    they started, or with partitions set aside because three workers died of them; then the same
    command goes on.
    """
    left = rng.randint(3, 9)
    said = root.with_suffix(".said")
    arguments = ["run", undisturbed.recipe, "--output", root, "--engine", "ray"]
    workers = '{"fetch": 2, "med": 1, "filter": 1}'
    arguments += ["--set", f"engine.workers={workers}", "--set", "engine.start_timeout_s=120"]
    more: list[str] = []
    while True:
        process = command.start([*arguments, *more], said, cluster.environment)
        process.join(rng.uniform(0, 6))
        while process.exitcode is None and left > 0:
            left -= kill_one(process.pid, cluster, rng, killed)
            process.join(rng.uniform(0, 12))
        process.join(300)
        assert process.exitcode is not None, f"it hangs: {ending(0, said)}"
        if process.exitcode == 0:
            return
        assert process.exitcode in (-signal.SIGKILL, 2, 3), ending(process.exitcode, said)
        if process.exitcode == 2:
            assert "3 times while it started" in said.read_text(), ending(2, said)
        more = ["--retry", "quarantined"] if process.exitcode == 3 else []
        killed["driver gave up"] += process.exitcode > 0


def kill_one(
    driver: int | None, cluster: Cluster, rng: random.Random, killed: Counter[str]
) -> bool:
    """Kill driver, worker or node; returns whether there was one."""
    victim = rng.choices(VICTIMS, weights=(3, 5, 2))[0]
    if victim == "driver":
        assert driver is not None
        os.kill(driver, signal.SIGKILL)
    elif victim == "node":
        cluster.kill_second_node()
    else:
        actors = cluster.actors()
        if not actors:
            return False
        with contextlib.suppress(psutil.Error):
            rng.choice(actors).kill()
    killed[victim] += 1
    return True


def ending(code: int, said: Path) -> str:
    return f"seed {SEED}: exit code {code}\n{said.read_text(encoding='utf-8')[-8000:]}"
