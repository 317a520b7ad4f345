"""Whole runs with scorers of several families: columns, embeddings, views and selections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from tests.models.tiny_scorers import tiny_clip, tiny_siglip2, tiny_vilt
from tests.recipes import TEXTS, curate, folder_recipe, picture_folder, whole_table, write_recipe


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, make in (("clip", tiny_clip), ("vilt", tiny_vilt), ("siglip2", tiny_siglip2)):
        make(folder / name)
    return folder


def _recipe(tmp_path: Path, models: Path, *scorers: dict[str, Any], **changes: Any) -> Path:
    pictures = picture_folder(tmp_path / "pictures")
    stages = [
        {"kind": "load", "root": str(pictures)},
        *({**scorer, "model": str(models / scorer["model"])} for scorer in scorers),
    ]
    recipe = folder_recipe(tmp_path, stages=stages, **{"select": None, **changes})
    return write_recipe(tmp_path / "recipe.yaml", recipe)


CLIP = {"kind": "clip", "model": "clip", "as": "near", "embed": True}
VILT = {"kind": "vilt", "model": "vilt"}


def test_scores_flags_and_embeddings_are_columns_of_the_run(tmp_path: Path, models: Path) -> None:
    select = {"kind": "top_fraction", "column": "near_itc", "fraction": 0.5}
    path = _recipe(tmp_path, models, CLIP, VILT, select=select, sinks=[{"kind": "lance"}])
    result = curate("run", path, "--json")
    assert result.exit_code == 0, result.output
    table = whole_table(tmp_path / "run")
    assert table.num_rows == len(TEXTS)
    assert table.schema.field("near_embed").type == pa.list_(pa.float16(), 16)
    assert {"near_itm", "vilt_itc", "vilt_embed"}.isdisjoint(table.column_names)
    for row in table.to_pylist():
        lengths = {len(row[name]) for name in ("texts", "near_itc", "vilt_itm", "near_truncated")}
        assert len(lengths) == 1
        assert np.linalg.norm(row["near_embed"]) == pytest.approx(1, abs=2e-3)
    selected = json.loads(
        next((tmp_path / "run" / "selections").glob("*/selection.json")).read_text()
    )
    assert selected["selected"] == {"web": 3}  # of six texts, for one is empty


def test_the_view_is_searched_by_embedding(tmp_path: Path, models: Path) -> None:
    path = _recipe(tmp_path, models, CLIP, sinks=[{"kind": "lance"}])
    assert curate("run", path, "--json").exit_code == 0
    rows = whole_table(tmp_path / "run").to_pylist()
    view = lancedb.connect(str(tmp_path / "run")).open_table("table")
    for row in rows:
        query = np.array(row["near_embed"], np.float32)
        found = view.search(query, vector_column_name="near_embed").limit(1).to_list()
        assert found[0]["uid"] == row["uid"]


def test_embeddings_asked_for_later_redo_one_leg_alone(tmp_path: Path, models: Path) -> None:
    small = {"kind": "siglip", "model": "siglip2"}
    assert curate("run", _recipe(tmp_path, models, VILT, small), "--json").exit_code == 0
    before = {leg.name for leg in (tmp_path / "run/passes/0").glob("leg-*")}
    wanted = whole_table(tmp_path / "run")
    path = _recipe(tmp_path, models, VILT, {**small, "embed": True})
    assert curate("run", path, "--json").exit_code == 0
    after = {leg.name for leg in (tmp_path / "run/passes/0").glob("leg-*")}
    assert len(after - before) == 1
    table = whole_table(tmp_path / "run")
    assert set(table.column_names) - set(wanted.column_names) == {"siglip_embed"}
    assert table["vilt_itm"].equals(wanted["vilt_itm"])


def test_an_unreadable_width_is_told_by_the_plan(tmp_path: Path, models: Path) -> None:
    folder = tiny_clip(tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "projection_dim": None}))
    recipe = _recipe(tmp_path, models, {**CLIP, "model": str(folder)})
    result = curate("plan", recipe)
    assert result.exit_code != 0
    said = " ".join(result.output.split())
    assert "stages[1]" in said
    assert "does not say how wide its embeddings are" in said
