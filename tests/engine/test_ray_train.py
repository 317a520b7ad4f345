"""Ray Train's workers do what one worker does, and outlive the loss of one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
import yaml
from click.testing import CliRunner

from curate.cli import main
from curate.core.errors import EngineError, StoreError
from curate.core.workers import WorkersConfig
from curate.engine.ray_actors import connect
from curate.engine.ray_train import _board, run_workers
from curate.pretrain.config import OptimConfig, PretrainConfig
from curate.pretrain.state import FILE
from curate.training import train
from tests.engine.clusters import OwnCluster, own_cluster
from tests.pretrain.test_several_workers import assert_same, cases, pairs

_STEPS = 32


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnCluster]:
    with own_cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one worker makes, undisturbed."""
    folder = tmp_path_factory.mktemp("alone")
    torch.set_num_threads(1)
    train(settings(1), folder, pairs())
    return folder


def settings(count: int, **changes: Any) -> PretrainConfig:
    """Return a recipe that saves its state at every step."""
    long: dict[str, Any] = {"epochs": 8, "checkpoint_every_s": 0.0}
    long["optim"] = OptimConfig(lr=1e-4)
    made = cases()["everything"]
    return made.model_copy(update={"workers": WorkersConfig(count=count), **long, **changes})


def written(folder: Path) -> str:
    """Write the recipe and its pairs as files; returns the recipe's."""
    columns = {"uid": [], "image": [], "captions": []}  # type: ignore[var-annotated]
    for pair in pairs().pairs:
        columns["uid"].append(pair.uid)
        columns["image"].append(pair.image)
        columns["captions"].append(pair.texts)
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    made = settings(1).model_dump(mode="json", by_alias=True)
    made["data"]["tables"] = [{"path": str(folder / "pairs.parquet"), "uid": "uid"}]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(made))
    return str(folder / "recipe.yaml")


def once(folder: Path, steps: int, act: Callable[[], None]) -> threading.Thread:
    """Do something when so many steps are logged."""

    def watch() -> None:
        path = folder / "metrics.jsonl"
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            logged = len(path.read_text().splitlines()) if path.exists() else 0
            if logged >= steps:
                act()
                return
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    return watcher


@pytest.mark.slow
def test_a_killed_worker_costs_no_step(cluster: OwnCluster, alone: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        worker = cluster.nodes[0].processes("RayTrainWorker")[-1]
        worker.kill()
        killed.append(worker.pid)

    output = tmp_path / "out"
    watcher = once(output, 2, kill)
    told = CliRunner().invoke(
        main, ["pretrain", written(tmp_path), "--output", str(output), "--workers", "2"]
    )
    watcher.join()
    assert told.exit_code == 0, told.output
    assert len(killed) == 1
    assert "\ngoing on after step" in told.output
    assert_same(alone, output, steps=_STEPS)
    assert sorted(path.name for path in output.iterdir()) == [
        *("metrics.jsonl", "model", "progress.json", "recipe.yaml", "result.json")
    ]


@pytest.mark.slow
def test_stopped_with_two_workers_one_goes_on(
    cluster: OwnCluster, alone: Path, tmp_path: Path
) -> None:
    watcher = once(tmp_path, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(settings(2, checkpoint_every_s=1e6), tmp_path, pairs(), said.append)
    watcher.join()
    assert said[-1].startswith("stopped after step")
    assert (tmp_path / FILE).exists()
    assert not (tmp_path / "model").exists()
    train(settings(1), tmp_path, pairs(), said.append)
    assert_same(alone, tmp_path, steps=_STEPS)


@pytest.mark.slow
def test_an_error_of_the_user_s_ends_all_workers(cluster: OwnCluster, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        once(tmp_path, 1, lambda: os.kill(os.getpid(), signal.SIGINT))
        train(settings(1), tmp_path, pairs())
    with pytest.raises(StoreError, match="an unfinished training with another recipe"):
        train(settings(2, seed=5), tmp_path, pairs())
    assert not (tmp_path / ".workers").exists()


@pytest.mark.slow
def test_a_lost_node_takes_no_board_with_it() -> None:
    with own_cluster(1) as two:
        two.add(3)
        connect(None)
        two.await_cpus(4)
        boards = [_board() for _ in range(4)]
        assert ray.get([board.heard.remote() for board in boards]) == [[]] * 4
        assert [len(node.processes("ray::Board")) for node in two.nodes] == [4, 0]


@pytest.mark.parametrize(
    ("changes", "device", "said"),
    [
        ({"count": 4}, "auto", "4 workers of 1 CPUs each want 4, and the cluster has 3"),
        ({"count": 2, "num_cpus": 2}, "cpu", "lower workers.count or workers.num_cpus"),
        ({"count": 2}, "cuda", "2 workers of 1 GPUs each want 2, and the cluster has 0"),
    ],
)
def test_a_cluster_that_is_too_small_is_refused(
    cluster: OwnCluster, tmp_path: Path, changes: dict[str, Any], device: str, said: str
) -> None:
    workers = WorkersConfig(**changes)
    with pytest.raises(EngineError, match=said):
        run_workers(fail, workers, folder=tmp_path, device=device, echo=print)


def fail(echo: object, asked: object) -> None:
    raise AssertionError("nothing should be started")
