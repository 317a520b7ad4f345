"""Whole runs with a small captioner of every kind: stopped and gone on with, they say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.captioner_checkpoints import TINY_BY_KIND
from tests.recipes import curate, folder_recipe, picture_folder, whole_table, write_recipe

KINDS = sorted(set(TINY_BY_KIND) - {"vllm"})


def _run(folder: Path, kind: str, model: Path, *, batch_size: int) -> list[list[str]]:
    pictures = picture_folder(folder / "pictures")
    captioner = {
        **{"kind": f"captioners/{kind}", "model": str(model), "max_tokens": 6},
        **{"num_captions": 2, "batch_size": batch_size},
    }
    stages = [{"kind": "load", "root": str(pictures)}, captioner]
    recipe = folder_recipe(folder, stages=stages, select=None)
    result = curate("run", write_recipe(folder / "recipe.yaml", recipe), "--json")
    assert result.exit_code == 0, result.output
    captions: list[list[str]] = whole_table(folder / "run")["texts"].to_pylist()
    return captions


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_says_what_a_whole_one_says(kind: str, tmp_path: Path) -> None:
    model = TINY_BY_KIND[kind](tmp_path / "model")
    whole = _run(tmp_path, kind, model, batch_size=32)
    assert all(len(texts) >= 2 for texts in whole)
    leg = max((tmp_path / "run" / "passes" / "0").glob("leg-1-*"))
    commits = sorted((leg / "commits").rglob("*.json"))
    assert len(commits) == 3
    for commit in (commits[0], commits[2]):  # as after a kill: what is not committed never ran
        commit.unlink()
    (leg / "done.json").unlink()
    assert _run(tmp_path, kind, model, batch_size=2) == whole
    assert max((tmp_path / "run" / "passes" / "0").glob("leg-1-*")) == leg
