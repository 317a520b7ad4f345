"""Pretraining and evaluation inside a run whose folder is on S3."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core.location import store_path
from curate.core.scratch import fetched
from curate.models.med_checkpoint import load_med
from tests.objectstore.contents import checksums
from tests.objectstore.server import S3Server
from tests.pretrain.scenes import recipe as pretrain_recipe
from tests.pretrain.scenes import scene
from tests.recipes import curate, folder_recipe, picture_folder, write_recipe


def training(tmp: Path, place: str) -> Path:
    """Write a recipe that trains on a run's selection and evaluates on a table of the bucket."""
    picture_folder(tmp / "pictures")
    settings = pretrain_recipe(batch_size=3).model_dump(mode="json", by_alias=True)
    held = {
        "image": [scene("red", "circle", seed=1), scene("blue", "bar", seed=2)],
        "captions": [["a red circle"], ["a blue bar"]],
    }
    table = store_path(place).parent / "held" / "1.parquet"
    with table.open("wb") as file:
        pq.write_table(pa.table(held), file)
    sections = {
        "pretrain": {**settings, "name": "small"},
        "evaluate": {"tables": [{"path": str(table.parent / "*.parquet")}]},
    }
    return write_recipe(tmp / "r.yaml", folder_recipe(tmp, output=place, **sections))


def test_a_model_is_trained_uploaded_and_judged(
    tmp_path: Path, place: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = training(tmp_path, place)
    first: dict[str, Any] = json.loads(curate("run", path, "--json").stdout)
    model = f"{place}/pretrain/small/model"
    assert first["pretrain"]["model"] == model
    assert first["evaluation"]["model"] == model
    assert first["evaluation"]["retrieval"]["num_images"] == 2
    folder = store_path(f"{place}/pretrain/small")
    assert {"made_from.json", "result.json", "metrics.jsonl", "model/model.safetensors"} <= {
        *checksums(folder)
    }
    with fetched(store_path(model)) as local:
        load_med(local)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))  # nothing is left behind
    # done once
    before = checksums(folder)
    again = json.loads(curate("run", path, "--json").stdout)
    assert again["pretrain"] == first["pretrain"]
    assert again["evaluation"] == first["evaluation"]
    assert checksums(folder) == before


def test_a_loop_keeps_its_folder_on_a_disk(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "loop.yaml", "name: loop\noutput: s3://bucket/loop\n")
    refused = curate("bootstrap", recipe)
    assert refused.exit_code == 2
    assert "s3://bucket/loop is no local folder" in refused.stderr
    assert not os.path.lexists("s3:")
