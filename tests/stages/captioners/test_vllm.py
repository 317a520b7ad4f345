from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from curate.stages.captioners.chat import Config as ChatConfig
from curate.stages.captioners.vllm import Config
from tests.models.captioner_checkpoints import tiny_qwen2_5_vl


def test_a_worker_of_its_own(tmp_path: Path) -> None:
    folder = tiny_qwen2_5_vl(tmp_path / "m")
    here = Config(model=str(folder), num_gpus=0.5, device="cuda")
    assert here.check() == []
    assert here.resources.num_gpus == 0.5
    assert here.resources.key != ChatConfig(model=str(folder)).resources.key


def test_a_cpu_is_refused() -> None:
    with pytest.raises(ValidationError, match="vLLM takes the GPU; use captioners/chat"):
        Config(model="m", device="cpu")


def test_how_much_memory_it_takes_changes_no_fingerprint(tmp_path: Path) -> None:
    folder = str(tiny_qwen2_5_vl(tmp_path / "m"))
    wanted = Config(model=folder).identity()
    assert Config(model=folder, memory_share=0.5, batch_size=7).identity() == wanted
    assert Config(model=folder, canvas=336).identity() != wanted


def test_beams_are_no_option() -> None:
    with pytest.raises(ValidationError, match="decoding"):
        Config(model="m", decoding="beam")  # type: ignore[arg-type]
