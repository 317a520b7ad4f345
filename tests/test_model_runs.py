"""Whole runs with small real models: batch sizes kept, and what a failing model leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.checkpoints import tiny_med
from tests.recipes import curate, folder_recipe, picture_folder, whole_table, write_recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("models") / "tiny-med")


def _run(tmp_path: Path, model: Path, *, select: Any = None, **settings: Any) -> Path:
    pictures = picture_folder(tmp_path / "pictures")
    captioner = {"kind": "med", "model": str(model), "max_tokens": 6, **settings}
    stages = [{"kind": "load", "root": str(pictures)}, captioner]
    recipe = folder_recipe(tmp_path, stages=stages, select=select)
    result = curate("run", write_recipe(tmp_path / "recipe.yaml", recipe), "--json")
    assert result.exit_code == 0, result.output
    return max((tmp_path / "run" / "passes" / "0").glob("leg-1-*"))


def test_the_batch_size_found_is_written_down_noted_and_kept(tmp_path: Path, model: Path) -> None:
    leg = _run(tmp_path, model, batch_size="auto")
    path = leg / "settled" / "med.json"
    assert json.loads(path.read_text()) == {"batch_size": 32}
    commits = sorted((leg / "commits").rglob("*.json"))
    assert len(commits) == 3
    for commit in commits:
        notes = json.loads(commit.read_text())["notes"]
        assert (notes["med.least_batch"], notes["med.halvings"]) == (32, 0)
    captions = whole_table(tmp_path / "run")["texts"].to_pylist()

    # A worker that joins later, on another machine say, goes by what is written down.
    path.write_text('{"batch_size": 2}')
    for commit in commits:
        commit.unlink()
    (leg / "done.json").unlink()
    assert _run(tmp_path, model, batch_size="auto") == leg
    notes = json.loads(commits[0].read_text())["notes"]
    assert notes["med.least_batch"] == 2
    assert whole_table(tmp_path / "run")["texts"].to_pylist() == captions


def test_a_size_that_is_given_is_found_nowhere(tmp_path: Path, model: Path) -> None:
    leg = _run(tmp_path, model, batch_size=4)
    assert not list((tmp_path / "run").rglob("settled"))
    commit = min((leg / "commits").rglob("*.json"))
    assert json.loads(commit.read_text())["notes"]["med.least_batch"] == 4


def test_a_checkpoint_that_is_no_good_fails_the_partitions_and_blames_no_picture(
    tmp_path: Path,
) -> None:
    """Weights that are NaN: every partition is set aside, and the ledger holds no row of them."""
    broken = tiny_med(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["image_adapter.norm.weight"] = torch.full_like(
        weights["image_adapter.norm.weight"], torch.nan
    )
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    pictures = picture_folder(tmp_path / "pictures")
    stages = [
        {"kind": "load", "root": str(pictures)},
        {"kind": "scorers/med", "as": "filter", "model": str(broken)},
    ]
    recipe = folder_recipe(tmp_path, stages=stages, select=None)
    result = curate("run", write_recipe(tmp_path / "recipe.yaml", recipe), "--json")
    assert result.exit_code == 3
    status = json.loads(curate("status", tmp_path / "run", "--json").stdout)
    assert len(status["quarantined"]) == 3
    for one in status["quarantined"]:
        assert one["error"].startswith("filter failed on partition")
        assert "the fault lies with the checkpoint" in one["error"]
        assert "itc is nan" in one["error"]
    assert not list((tmp_path / "run").rglob("ledger/*/*.parquet"))
