from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from curate.core.errors import ModelError
from curate.models.checkpoints import fetch
from curate.models.processors import load_processor
from tests.models.captioner_checkpoints import tiny_gemma3, tiny_llava, tiny_qwen2_vl


def _load(folder: Path, model_type: str) -> Any:
    return load_processor(fetch(str(folder), None), model_type, trust_remote_code=False)


def _say(folder: Path, name: str, **said: Any) -> None:
    path = folder / name
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**before, **said}))


@pytest.mark.parametrize("name", ["Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast"])
def test_pictures_are_pillows_and_videos_need_nothing(name: str, tmp_path: Path) -> None:
    folder = tiny_qwen2_vl(tmp_path / "m")
    _say(folder, "preprocessor_config.json", image_processor_type=name)
    processor = _load(folder, "qwen2_vl")
    assert isinstance(processor, hf.Qwen2VLProcessor)
    assert isinstance(processor.image_processor, hf.Qwen2VLImageProcessorPil)
    assert processor.image_processor.patch_size == 8
    assert processor.video_processor.num_frames is None


def test_a_checkpoint_that_names_no_image_processor_gets_its_familys(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    path = folder / "preprocessor_config.json"
    said = json.loads(path.read_text())
    del said["image_processor_type"]
    path.write_text(json.dumps(said))
    assert isinstance(_load(folder, "llava").image_processor, hf.LlavaImageProcessorPil)


def test_the_class_that_a_checkpoint_names_goes_before_its_familys(tmp_path: Path) -> None:
    folder = tiny_gemma3(tmp_path / "m")
    assert isinstance(_load(folder, "llava"), hf.Gemma3Processor)
    _say(folder, "processor_config.json", processor_class="NobodysProcessor")
    assert isinstance(_load(folder, "gemma3"), hf.Gemma3Processor)


def test_settings_of_newer_checkpoints_are_found_in_processor_config(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    old = folder / "preprocessor_config.json"
    _say(folder, "processor_config.json", image_processor=json.loads(old.read_text()))
    old.unlink()
    processor = _load(folder, "llava")
    assert processor.image_processor.crop_size["height"] == 32
    assert processor.patch_size == 8


def test_the_tokenizers_template_serves_too(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    template = folder / "chat_template.jinja"
    _say(folder, "tokenizer_config.json", chat_template=template.read_text())
    template.unlink()
    assert "<user>" in _load(folder, "llava").chat_template


def test_a_type_without_a_processor_is_refused(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    (folder / "processor_config.json").unlink()
    with pytest.raises(ModelError, match="knows none for 'nobodys'"):
        _load(folder, "nobodys")
