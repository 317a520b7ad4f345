"""A driver dies while its workers are busy, and another takes the run over at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.chaos import command
from tests.chaos.undisturbed import Undisturbed, assert_same
from tests.engine.clusters import OwnCluster, own_cluster

pytestmark = pytest.mark.slow


def actors(cluster: OwnCluster) -> list[psutil.Process]:
    words = ("ray::LegActor", "ray::curate(")
    return [one for node in cluster.nodes for word in words for one in node.processes(word)]


def wait_for(what: Callable[[], bool], seconds: float) -> float:
    """Wait until something is so; returns how long it took."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begun


def test_workers_of_a_dead_driver_end_and_disturb_nobody(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    arguments = ["run", undisturbed.recipe, "--output", root, "--engine", "ray"]
    arguments += ["--set", 'engine.workers={"fetch": 2, "med": 1, "filter": 1}']
    undisturbed.web.delay_s = 0.5
    try:
        with own_cluster(head_cpus=3) as cluster:
            environment = {"RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "disabled"}
            first = command.start(arguments, tmp_path / "first.said", environment)
            # the first pass reads lists, the second fetches: its workers are in mid-partition
            wait_for(lambda: any(root.glob("passes/1/leg-0-*/commits/*/*.json")), 120)
            left = actors(cluster)
            first.kill()
            first.join()
            assert any(one.is_running() for one in left)
            second = command.start(arguments, tmp_path / "second.said", environment)
            gone = wait_for(lambda: not any(one.is_running() for one in left), 30)
            print(f"\nworkers outlived their driver by {gone:.1f} s")
            second.join(300)
            assert second.exitcode == 0, (tmp_path / "second.said").read_text(encoding="utf-8")
    finally:
        undisturbed.web.delay_s = 0.0
    assert_same(undisturbed, root)
    shutil.rmtree(root)
