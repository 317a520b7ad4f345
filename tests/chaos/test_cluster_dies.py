"""The whole cluster dies under a driver: it ends by itself, and goes on upon another cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import command
from tests.chaos.test_leftover_workers import wait_for
from tests.chaos.undisturbed import Undisturbed, assert_same
from tests.engine.clusters import own_cluster

pytestmark = pytest.mark.slow


def test_the_head_dies(undisturbed: Undisturbed, tmp_path: Path) -> None:
    root, said = tmp_path / "run", tmp_path / "said"
    arguments = ["run", undisturbed.recipe, "--output", root, "--engine", "ray"]
    with own_cluster(head_cpus=3) as cluster:
        environment = {"RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "disabled"}
        driver = command.start(arguments, said, environment)
        wait_for(lambda: any(root.glob("passes/0/leg-0-*/commits/*/*.json")), 120)
        cluster.kill()
        ended = command.await_exit(driver, 120)
        driver.kill()
        print(f"\nexit code {ended}:\n{said.read_text(encoding='utf-8')[-3000:]}")
        assert ended not in (None, 0)
    with own_cluster(head_cpus=3) as cluster:
        environment["RAY_ADDRESS"] = cluster.address
        driver = command.start(arguments, said, environment)
        driver.join(300)
        assert driver.exitcode == 0, said.read_text(encoding="utf-8")
    assert_same(undisturbed, root)
