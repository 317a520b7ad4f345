"""vLLM itself does not run here: its requests do, against an engine that answers as it would."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.checkpoints import fetch
from curate.models.sampling import Sampling, stream_key
from curate.models.vllm_chat import VllmCaptioner, conversation, load_vllm, request_settings
from tests.models.captioner_checkpoints import tiny_qwen2_5_vl
from tests.models.checkpoints import pictures

UIDS = ["a" * 32, "b" * 32]


@dataclass
class _Params:
    """The arguments of a request, as ``SamplingParams`` takes them by name."""

    max_tokens: int
    min_tokens: int
    repetition_penalty: float
    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None


@dataclass
class _Text:
    text: str


@dataclass
class _Answer:
    outputs: list[_Text]


class _Engine:
    """Answers each conversation with its request, its seed and its picture's first byte."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def chat(self, messages: Any, *, sampling_params: Any, use_tqdm: bool) -> Sequence[_Answer]:
        assert not use_tqdm
        assert len(messages) == len(sampling_params)
        self.calls.append(len(messages))
        answers = []
        for (turn,), params in zip(messages, sampling_params, strict=True):
            picture, request = turn["content"]
            first = np.asarray(picture["image_pil"])[24, 24, 0]
            answers.append(_Answer([_Text(f" {request['text']} {first} {params.seed}\n")]))
        return answers


def _captioner(engine: _Engine, **writing: Any) -> VllmCaptioner:
    return VllmCaptioner(
        engine,
        Writing(**{"prompt": "Describe.", **writing}),
        sampling_params=_Params,
        signature="m@0 vllm-0",
        canvas=48,
    )


def test_every_image_and_draw_is_a_request_with_a_seed_of_its_own() -> None:
    engine = _Engine()
    captioner = _captioner(engine, round_number=2)
    batch = np.stack([captioner.prepare(np.full((30, 60, 3), v, np.uint8)) for v in (10, 20)])
    assert batch.shape == (2, 3, 48, 48)
    texts = captioner.caption(batch, UIDS, [0, 3])
    assert engine.calls == [4]
    mask = 2**63 - 1
    assert texts == [
        [
            f"Describe. {value} {stream_key(uid, round_number=2, caption=draw) & mask}"
            for draw in (0, 3)
        ]
        for uid, value in zip(UIDS, (10, 20), strict=True)
    ]
    assert captioner.caption(batch[:0], [], [0]) == []
    assert engine.calls == [4]


def test_a_conversation_shows_the_picture_then_asks() -> None:
    (picture,) = pictures(1)
    ((turn),) = conversation("What is it?", np.ascontiguousarray(picture.transpose(2, 0, 1)))
    assert turn["role"] == "user"
    image, text = turn["content"]
    assert (image["type"], text) == ("image_pil", {"type": "text", "text": "What is it?"})
    np.testing.assert_array_equal(np.asarray(image["image_pil"]), picture)


def test_settings_are_those_of_the_recipe() -> None:
    sampling = Sampling(top_p=0.8, top_k=7, temperature=0.6, repetition_penalty=1.2, min_tokens=3)
    said = request_settings(Writing(sampling=sampling, max_tokens=20), UIDS[0], 1)
    assert 0 <= said.pop("seed") < 2**63
    assert said == {
        **{"max_tokens": 20, "min_tokens": 3, "repetition_penalty": 1.2},
        **{"temperature": 0.6, "top_p": 0.8, "top_k": 7},
    }
    assert "top_k" not in request_settings(Writing(), UIDS[0], 0)
    greedy = request_settings(Writing(decoding="greedy", sampling=Sampling(top_p=0)), UIDS[0], 0)
    assert greedy["temperature"] == 0
    assert not {"top_p", "seed"} & set(greedy)


@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is not None, reason="vLLM is installed: it would be loaded"
)
def test_without_vllm_the_error_says_what_to_install(tmp_path: Path) -> None:
    checkpoint = fetch(str(tiny_qwen2_5_vl(tmp_path / "m")), None)
    with pytest.raises(
        ModelError, match=r"pip install 'curate\[vllm\]' .* or take captioners/chat"
    ):
        load_vllm(
            checkpoint,
            Writing(),
            **{"dtype": "auto", "canvas": 48, "gpu_share": 0.9, "max_model_len": None},
            trust_remote_code=False,
        )
