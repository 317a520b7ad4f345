"""Chat models through vLLM: many requests in flight on one GPU, or several.

Source: Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with
PagedAttention" (https://arxiv.org/abs/2309.06180); the calls are those of vLLM's offline interface,
``vllm.LLM.chat`` (https://docs.vllm.ai/en/latest/models/generative_models.html).

vLLM makes batches as it likes and draws its noise itself. Every request is given a seed of its own
from (uid, round, draw), which makes captions repeatable in practice, but not to the byte: its sums
depend on what else is in flight. ``text_models`` says ``vllm``, and which version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from curate.core.errors import ModelError
from curate.models.base import Pixels, Writing
from curate.models.chat_pictures import on_canvas
from curate.models.checkpoints import Checkpoint
from curate.models.sampling import stream_key

_GREY = (127, 127, 127)


class Engine(Protocol):
    """What is used of ``vllm.LLM``."""

    def chat(self, messages: Any, *, sampling_params: Any, use_tqdm: bool) -> Sequence[Any]:
        """Answer conversations, in their order."""


class VllmCaptioner:
    """Writes captions with an engine of vLLM."""

    def __init__(
        self,
        engine: Engine,
        writing: Writing,
        *,
        sampling_params: Callable[..., Any],
        signature: str,
        canvas: int,
    ) -> None:
        """Take an engine over.

        Args:
            engine: a loaded ``vllm.LLM``.
            writing: how captions are written; its prompt is what the user asks.
            sampling_params: ``vllm.SamplingParams``.
            signature: name and hash of the checkpoint, and vLLM's version.
            canvas: side of the square that pictures are put on, pixels.
        """
        self.signature = signature
        self._engine = engine
        self._writing = writing
        self._sampling_params = sampling_params
        self._canvas = canvas

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Put an RGB picture on a square canvas, uint8 [3, canvas, canvas]."""
        square = on_canvas(image_HW3, side=self._canvas, colour=_GREY)
        return np.ascontiguousarray(square.transpose(2, 0, 1))

    def caption(
        self, images_B3HW: Pixels, uids: Sequence[str], draws: Sequence[int]
    ) -> list[list[str]]:
        """Write a caption for every image and draw; each is a request of its own."""
        if not len(uids):
            return []
        talks = [conversation(self._writing.prompt, one) for one in images_B3HW]
        answers = self._engine.chat(
            [talk for talk in talks for _ in draws],
            sampling_params=[
                self._sampling_params(**request_settings(self._writing, uid, draw))
                for uid in uids
                for draw in draws
            ],
            use_tqdm=False,
        )
        texts = [str(answer.outputs[0].text).strip() for answer in answers]
        return [texts[start : start + len(draws)] for start in range(0, len(texts), len(draws))]


def conversation(request: str, image_3HW: Pixels) -> list[dict[str, Any]]:
    """Return a user's turn with a picture and a request, in the form of ``LLM.chat``."""
    picture = Image.fromarray(np.ascontiguousarray(image_3HW.transpose(1, 2, 0)))
    content = [{"type": "image_pil", "image_pil": picture}, {"type": "text", "text": request}]
    return [{"role": "user", "content": content}]


def request_settings(writing: Writing, uid: str, draw: int) -> dict[str, Any]:
    """Return the arguments of ``SamplingParams`` for one caption.

    Greedy decoding is temperature 0 there, and seeds are not negative.
    """
    sampling = writing.sampling
    settings: dict[str, Any] = {
        "max_tokens": writing.max_tokens,
        "min_tokens": sampling.min_tokens,
        "repetition_penalty": sampling.repetition_penalty,
    }
    if writing.decoding == "greedy":
        return {**settings, "temperature": 0.0}
    settings |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.top_k:
        settings["top_k"] = sampling.top_k
    key = stream_key(uid, round_number=writing.round_number, caption=draw)
    return {**settings, "seed": key & (2**63 - 1)}


def load_vllm(
    checkpoint: Checkpoint,
    writing: Writing,
    *,
    dtype: str,
    canvas: int,
    gpu_share: float,
    max_model_len: int | None,
    trust_remote_code: bool,
) -> VllmCaptioner:
    """Load a checkpoint into vLLM, in this process.

    Args:
        checkpoint: a checked checkpoint.
        writing: how captions are written.
        dtype: type of the weights, or ``auto`` for the checkpoint's own.
        canvas: side of the square that pictures are put on, pixels.
        gpu_share: share of the GPU's memory that vLLM may take, in (0, 1].
        max_model_len: most tokens of a conversation; None for the checkpoint's own.
        trust_remote_code: run the checkpoint's own code, where it brings some.

    Raises:
        ModelError: vLLM is not installed, or cannot load the checkpoint.
    """
    try:
        import vllm
    except ImportError as error:
        raise ModelError(
            f"captioners/vllm needs vLLM, which cannot be imported ({error}): "
            "pip install 'curate[vllm]' on the GPU workers, or take captioners/chat"
        ) from error
    try:
        engine = vllm.LLM(
            model=str(checkpoint.folder),
            dtype=dtype,
            load_format="safetensors",
            gpu_memory_utilization=gpu_share,
            max_model_len=max_model_len,
            limit_mm_per_prompt={"image": 1},
            enable_prefix_caching=True,  # the captions of an image share its pass
            trust_remote_code=trust_remote_code,
            seed=0,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(f"vLLM cannot load {checkpoint.folder}: {error}") from error
    return VllmCaptioner(
        engine,
        writing,
        sampling_params=vllm.SamplingParams,
        signature=f"{checkpoint.signature} vllm-{vllm.__version__}",
        canvas=canvas,
    )
