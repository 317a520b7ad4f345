from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    GitForCausalLM,
    LlavaForConditionalGeneration,
    T5Config,
)

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.checkpoints import fetch
from curate.models.git import GitCaptioner
from curate.models.keyed_generation import require_room, special_ids, text_positions
from curate.models.sampling import Sampling
from tests.models.captioner_checkpoints import (
    END,
    PAD,
    START,
    STOP,
    tiny_blip_2,
    tiny_git,
    tiny_llava,
)
from tests.models.checkpoints import pictures

CPU = torch.device("cpu")
UIDS = [f"{n:032x}" for n in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_git(tmp_path_factory.mktemp("models") / "git")


def _captioner(folder: Path, **writing: Any) -> GitCaptioner:
    settings = {"max_tokens": 8, "prompt": "a picture", **writing}
    return GitCaptioner(
        fetch(str(folder), None), Writing(**settings), device=CPU, dtype=torch.float32
    )


def _batch(captioner: GitCaptioner) -> Any:
    return np.stack([captioner.prepare(one) for one in pictures(6)])


def _generation_config(folder: Path, **settings: Any) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def test_special_ids_are_the_generation_settings_then_the_configs(tmp_path: Path) -> None:
    folder = _generation_config(tiny_llava(tmp_path / "m"), eos_token_id=[END, STOP])
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    special = special_ids(model, AutoTokenizer.from_pretrained(folder))
    assert special.end == (END, STOP)
    assert (special.pad, special.begin) == (PAD, START)
    assert (special.decoder_start, special.forced_begin) == (None, None)


def test_the_tokenizer_says_how_texts_end_where_nothing_else_does(folder: Path) -> None:
    model = GitForCausalLM.from_pretrained(folder)
    for place in (model.generation_config, model.config):
        place.eos_token_id = place.pad_token_id = None
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = special_ids(model, tokenizer)
    assert (special.end, special.pad) == ((STOP,), STOP)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="which token ends a text: put eos_token_id"):
        special_ids(model, tokenizer)


def test_settings_of_the_checkpoints_author_do_not_mix_with_the_recipes(
    folder: Path, tmp_path: Path
) -> None:
    plain = _captioner(folder, sampling=Sampling(top_p=0))
    wanted = plain.caption(_batch(plain), UIDS, [0])
    bossy = _generation_config(
        tiny_git(tmp_path / "m"),
        **{"eos_token_id": STOP, "pad_token_id": PAD, "num_beams": 4, "max_length": 3},
        **{"no_repeat_ngram_size": 1, "min_length": 7, "repetition_penalty": 9.0},
    )
    captioner = _captioner(bossy, sampling=Sampling(top_p=0))
    assert captioner.caption(_batch(captioner), UIDS, [0]) == wanted


@pytest.mark.parametrize("decoding", ["greedy", "beam"])
def test_penalty_and_least_length_are_those_of_transformers(folder: Path, decoding: str) -> None:
    captioner = _captioner(
        folder,
        decoding=decoding,
        sampling=Sampling(top_p=0, repetition_penalty=1.4, min_tokens=5),
    )
    batch = _batch(captioner)
    got = [texts[0] for texts in captioner.caption(batch, UIDS, [0])]
    model, tokenizer = GitForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([[START, *tokenizer("a picture", add_special_tokens=False)["input_ids"]]])
    new = model.generate(
        pixel_values=captioner._pictures.normalised(batch, torch.zeros(1)),
        input_ids=ids.expand(6, -1),
        **{"max_new_tokens": 8, "min_new_tokens": 5, "repetition_penalty": 1.4},
        **{"num_beams": 3 if decoding == "beam" else 1, "do_sample": False},
    )
    words = tokenizer.batch_decode(new[:, ids.shape[1] :], skip_special_tokens=True)
    assert got == [text.strip().removeprefix("##") for text in words]


def test_a_tower_sees_an_image_once_in_a_beam_search_too(folder: Path) -> None:
    captioner = _captioner(folder, decoding="beam", num_beams=4)
    seen: list[int] = []
    tower = captioner._generation.model.git.image_encoder.vision_model.embeddings
    tower.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    captioner.caption(_batch(captioner), UIDS, [0, 1])
    assert seen == [6]


def test_a_row_of_bad_logits_is_not_written(folder: Path) -> None:
    captioner = _captioner(folder)
    with torch.no_grad():
        captioner._generation.model.output.bias[:] = float("nan")
    for decoding in ("nucleus", "beam"):
        captioner._generation.writing = Writing(decoding=decoding, max_tokens=4)  # type: ignore[arg-type]
        with pytest.raises(FloatingPointError):
            captioner.caption(_batch(captioner)[:2], UIDS[:2], [0])


def test_no_images_are_no_trouble(folder: Path) -> None:
    captioner = _captioner(folder)
    assert captioner.caption(_batch(captioner)[:0], [], [0, 1]) == []


def test_positions(folder: Path) -> None:
    assert text_positions(GitForCausalLM.from_pretrained(folder).config) == 64
    assert text_positions(T5Config()) is None
    require_room("m", needed=64, positions=64)
    require_room("m", needed=10_000, positions=None)
    with pytest.raises(ModelError, match="may take 65 tokens, m has positions for 64"):
        require_room("m", needed=65, positions=64)


def test_what_the_whole_model_says_goes_before_its_language_models_word(tmp_path: Path) -> None:
    folder = _generation_config(tiny_blip_2(tmp_path / "m"), eos_token_id=END)
    model = Blip2ForConditionalGeneration.from_pretrained(folder)
    assert model.language_model.config.eos_token_id == STOP
    assert special_ids(model, AutoTokenizer.from_pretrained(folder)).end == (END,)
