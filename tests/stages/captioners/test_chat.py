from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from transformers import dynamic_module_utils

from curate.commands.plan_view import cautions
from curate.core.errors import ModelError
from curate.recipe import load
from curate.stages.captioners.blip import Config as BlipConfig
from curate.stages.captioners.chat import Config
from tests.models.captioner_checkpoints import tiny_idefics3, tiny_llava, tiny_qwen2_vl
from tests.recipes import curate, picture_folder
from tests.stages.partition_tables import partition_table

CODE = """
from transformers import Idefics3Config, Idefics3ForConditionalGeneration


class OddConfig(Idefics3Config):
    model_type = "odd_idefics"


class OddModel(Idefics3ForConditionalGeneration):
    config_class = OddConfig

    def __init__(self, config):
        super().__init__(config)
        self.lm_head.register_forward_hook(say_one_word)


def say_one_word(module, args, logits):
    logits[..., 40] += 1000.0  # nobody else would: the proof that this file was run
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose model is made by a file that comes with it."""
    # transformers copies such files into a folder in the user's home and imports them there
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, name)
    folder = tiny_idefics3(tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "odd_idefics"
    config["auto_map"] = {
        "AutoConfig": "odd.OddConfig",
        "AutoModelForImageTextToText": "odd.OddModel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "odd.py").write_text(CODE)
    return folder


def _captions(config: Config) -> list[str]:
    stage = config.build()
    with stage.ready():
        rows: pa.Table = stage(partition_table()).rows
    return [texts[-1] for texts in rows["texts"].to_pylist()]


def test_a_checkpoints_code_runs_where_the_recipe_says_so_alone(odd: Path) -> None:
    untrusted = Config(model=str(odd), top_p=0, max_tokens=3, min_tokens=0)
    (problem,) = untrusted.check()
    assert "'odd_idefics', which is made by Python code that comes with it: read" in problem
    with pytest.raises(ModelError, match="say trust_remote_code: true"):
        untrusted.load()
    assert untrusted.cautions() == []
    trusted = Config(
        **{"model": str(odd), "top_p": 0, "max_tokens": 3, "min_tokens": 0},
        trust_remote_code=True,
    )
    assert trusted.check() == []
    assert trusted.cautions() == [
        f"trust_remote_code: Python code that comes with {odd} runs with all rights of this process"
    ]
    captions = _captions(trusted)
    assert len({word for text in captions for word in text.split()}) == 1


def test_the_code_is_in_the_fingerprint(odd: Path) -> None:
    trusted = Config(model=str(odd), trust_remote_code=True)
    before = trusted.identity()
    assert before != Config(model=str(odd)).identity()
    (odd / "odd.py").write_text(CODE + "\n# another version\n")
    after = trusted.identity()
    assert after["weights"] == before["weights"]
    assert after["code"] != before["code"]


def test_pickles_stay_refused_whatever_is_trusted(odd: Path) -> None:
    (odd / "model.safetensors").rename(odd / "pytorch_model.bin")
    (problem,) = Config(model=str(odd), trust_remote_code=True).check()
    assert "only pickled weights" in problem


def test_the_plan_of_a_recipe_says_it_aloud(odd: Path, tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures", ["a dog"])
    recipe = tmp_path / "recipe.yaml"
    stage = f"{{kind: chat, model: {odd}, trust_remote_code: true}}"
    recipe.write_text(
        f"name: odd\nsource: {{kind: image_folder, path: {tmp_path / 'pictures'}}}\n"
        f"stages: [{{kind: load, root: {tmp_path / 'pictures'}}}, {stage}]\n"
        f"output: {tmp_path / 'run'}\n"
    )
    (said,) = cautions(load(recipe))
    assert said.startswith("chat: trust_remote_code: Python code that comes with")
    printed = curate("plan", str(recipe))
    assert "CAUTION  chat: trust_remote_code" in " ".join(printed.output.split("\n"))
    running = curate("run", str(recipe))
    assert "CAUTION  chat: trust_remote_code" in " ".join(running.output.split("\n"))


def test_a_type_of_another_stage_is_sent_there(tmp_path: Path) -> None:
    (problem,) = BlipConfig(model=str(tiny_llava(tmp_path / "m"))).check()
    assert "the captioner 'chat' or the captioner 'vllm' accepts 'llava'" in problem


def test_settings_without_effect_are_errors(tmp_path: Path) -> None:
    fixed = tiny_llava(tmp_path / "fixed")
    with pytest.raises(ModelError, match="canvas 64 without effect"):
        Config(model=str(fixed), canvas=64).load()
    with pytest.raises(ModelError, match="does not cut pictures into tiles"):
        Config(model=str(fixed), tiles=True).load()


def test_a_larger_canvas_and_tiles_show_more(tmp_path: Path) -> None:
    def length(config: Config) -> int:
        return len(config.load()._generation.prompt.before)  # type: ignore[attr-defined]

    qwen = str(tiny_qwen2_vl(tmp_path / "qwen"))
    assert length(Config(model=qwen, canvas=64)) - length(Config(model=qwen, canvas=32)) == 12
    idefics = str(tiny_idefics3(tmp_path / "idefics"))
    whole, cut = Config(model=idefics), Config(model=idefics, tiles=True, max_tokens=8)
    assert length(cut) > 4 * 4 + length(whole)
    assert len(set(_captions(cut))) > 1


def test_a_checkpoint_that_is_not_talked_to_is_refused(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        Config(model=str(folder)).load()


def test_a_template_that_leaves_the_picture_out_is_refused(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}a dog{% endfor %}")
    with pytest.raises(ModelError, match="chat template does not take a picture and a request"):
        Config(model=str(folder)).load()


def test_a_checkpoint_without_a_processor_is_refused(tmp_path: Path) -> None:
    folder = tiny_llava(tmp_path / "m")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="has no usable processor"):
        Config(model=str(folder)).load()
