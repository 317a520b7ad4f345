"""Trainings that are done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from upath import UPath

from curate.core.atomic import read_json
from curate.outcome import Reporter
from curate.trained import trained
from tests.pretrain.models import SETTINGS
from tests.pretrain.scenes import recipe, scenes


def test_on_an_object_store_the_result_names_the_files_there(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    output = UPath("memory://trained/model-1")
    model = {"vocabulary": 100, "model": SETTINGS["blip"][1]}
    made = recipe(architecture="blip", objectives=["itc"], start=model, steps=1, epochs=None)
    said = trained(made, output, Reporter(), source=scenes(1))
    assert said["model"] == f"{output}/model"
    assert said["exports"]
    for name, folder in said["exports"].items():
        assert folder == f"{output}/transformers/{name}"
        assert read_json(UPath(folder) / "config.json")["architectures"] == [name]
