"""Every recipe in pipelines/ gives equal tables on both engines, on real pictures over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import curate
from tests.models.checkpoints import tiny_blip_captioner, tiny_blip_scorer, tiny_med

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"
NO_TRAINING = ("pretrain=null", "evaluate=null")


def overrides(recipe: str, folder: Path) -> list[str]:
    """What replaces a recipe's models and list by small ones on this machine."""
    if recipe == "quickstart":
        model = tiny_med(folder / "med")
        return [f"stages[6].model={model}", f"stages[7].model={model}", *NO_TRAINING]
    if recipe == "laion_subset":
        return [
            "loopback={seed: 3, held_out: 100}",
            "source.path={output}/loopback/list.parquet",
            "source.partition_rows=100",
            "stages[2].min_side=64",
            f"stages[6].model={tiny_blip_captioner(folder / 'captioner')}",
            f"stages[7].model={tiny_blip_scorer(folder / 'scorer')}",
        ]
    raise AssertionError(f"pipelines/{recipe}.yaml is new: say here how it runs on this machine")


def run(words: list[str]) -> None:
    """Type a command in a process of its own, under Ray's own defaults."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "curate.cli", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("recipe", sorted(path.stem for path in PIPELINES.glob("*.yaml")))
def test_both_engines_give_the_same(recipe: str, tmp_path: Path) -> None:
    sets = [part for text in overrides(recipe, tmp_path) for part in ("--set", text)]
    path = str(PIPELINES / f"{recipe}.yaml")
    for engine in ("local", "ray"):
        run(["run", path, "--engine", engine, "--output", str(tmp_path / engine), *sets])
    local, ray = (curate.open_run(tmp_path / engine) for engine in ("local", "ray"))
    assert local.rows(["uid"]).shape[0] > 50
    assert local.rows(local.columns, arrow=True).equals(ray.rows(ray.columns, arrow=True))
    for left, right in zip(
        local.table.store.ledger(local.table.nodes),
        ray.table.store.ledger(ray.table.nodes),
        strict=True,
    ):
        assert left.drop_columns(["detail"]).equals(right.drop_columns(["detail"]))
    assert local.canaries(arrow=True).equals(ray.canaries(arrow=True))
    texts = local.texts(selection="default")
    assert set(texts["source"]) == {"web", "synthetic"}
    shards = list((tmp_path / "ray" / "shards").glob("*/*.tar"))
    assert len(shards) == len(list((tmp_path / "local" / "shards").glob("*/*.tar"))) > 0
    for shard in shards:
        twin = tmp_path / "local" / shard.relative_to(tmp_path / "ray")
        assert shard.read_bytes() == twin.read_bytes()
