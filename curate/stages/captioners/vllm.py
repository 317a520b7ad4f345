"""Write captions with a chat model that sees, through vLLM: faster on a GPU, not equal to the byte.

Source: Kwon et al. 2023, "PagedAttention" (https://arxiv.org/abs/2309.06180).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.core.config import tuning
from curate.core.resources import Resources
from curate.stages.captioning import Decoding
from curate.stages.chat_types import MODEL_TYPES
from curate.stages.remote_code import RemoteCodeConfig

if TYPE_CHECKING:
    from curate.models.vllm_chat import VllmCaptioner


class Config(RemoteCodeConfig):
    """Caption with a chat model in vLLM, which must be installed on the workers.

    Its captions are drawn from a seed for each (uid, round, draw), but vLLM's sums depend on what
    else is in flight: they are exempt from the promise that captions are the same anywhere.

    Attributes:
        prompt: what is asked of every picture; the caption is the answer.
        max_tokens: most new tokens of a caption.
        decoding: ``nucleus`` samples, ``greedy`` takes the likeliest token.
        canvas: side of the square that pictures are put on, pixels.
        batch_size: images handed to vLLM at once; it makes its own batches of them.
        memory_share: share of the GPU's memory that one worker takes, of what ``num_gpus`` gives
            it.
        max_model_len: most tokens of a conversation, picture included; null for the checkpoint's
            own, which may ask for more memory than there is.
    """

    model_types: ClassVar[tuple[str, ...]] = MODEL_TYPES

    prompt: str = Field("Describe this picture in one short sentence.", min_length=1)
    max_tokens: int = Field(60, ge=1)
    decoding: Literal["nucleus", "greedy"] = "nucleus"
    canvas: int = Field(448, ge=32, le=4096)
    batch_size: int = tuning(256, ge=1, le=4096)
    memory_share: float = tuning(0.9, gt=0, le=1)
    max_model_len: int | None = Field(None, ge=64)

    @property
    def resources(self) -> Resources:
        """A worker of its own: vLLM takes its share of the memory when it starts."""
        return replace(super().resources, key=f"vllm/{self.model}@{self.revision or ''}")

    def how(self) -> tuple[Decoding, int]:
        """Return the decoding; there are no beams."""
        return self.decoding, 1

    @model_validator(mode="after")
    def _on_a_gpu(self) -> Self:
        if self.device == "cpu":
            raise ValueError("device: cpu without effect: vLLM takes the GPU; use captioners/chat")
        return self

    def load(self) -> VllmCaptioner:
        """Load the model, on the worker.

        Raises:
            ModelError: vLLM is not installed, or the checkpoint cannot be used.
        """
        from curate.models.vllm_chat import load_vllm

        checkpoint = self.fetched()
        self.require(checkpoint)
        return load_vllm(
            checkpoint,
            self.writing(),
            dtype=self.dtype,
            canvas=self.canvas,
            gpu_share=self.memory_share * self.num_gpus,
            max_model_len=self.max_model_len,
            trust_remote_code=self.trust_remote_code,
        )
