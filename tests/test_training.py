"""One worker or several: what the recipe says, before any of them starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from curate.core.errors import RecipeError, StoreError
from curate.core.workers import WorkersConfig
from curate.pretrain.trainer import pretrain
from curate.training import train
from tests.pretrain.scenes import recipe, scenes

_ALONE = """
import sys
from pathlib import Path
from curate.training import train
from tests.pretrain.scenes import recipe, scenes
train(recipe(batch_size=6), Path(sys.argv[1]), scenes(1), lambda line: None)
assert (Path(sys.argv[1]) / "model").is_dir()
assert "ray" not in sys.modules
"""


def test_one_worker_needs_no_ray(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _ALONE, tmp_path / "out"], check=True)


def test_a_model_that_is_there_is_refused_before_workers_start(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(StoreError, match="is there already"):
        train(recipe(workers={"count": 2}), tmp_path, scenes(1))


def test_a_recipe_of_several_workers_is_not_trained_by_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="2 workers are wanted and 1 here"):
        pretrain(recipe(workers={"count": 2}), tmp_path, scenes(1))


def test_workers_decide_nothing_and_take_the_cluster_of_the_run() -> None:
    two = recipe(workers={"count": 2, "max_failures": 9})
    assert two.identity() == recipe().identity()
    assert two.on_cluster("a:1").workers == WorkersConfig(count=2, max_failures=9, address="a:1")
    named = recipe(workers={"count": 2, "address": "b:2"})
    assert named.on_cluster("a:1") == named
