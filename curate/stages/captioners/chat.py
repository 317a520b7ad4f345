"""Write captions with any chat model of transformers that sees: LLaVA, Qwen-VL, SmolVLM and others.

Source: Liu et al. 2023, "Visual Instruction Tuning" (https://arxiv.org/abs/2304.08485).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from curate.stages.chat_types import MODEL_TYPES
from curate.stages.decoding import DecodingConfig
from curate.stages.remote_code import RemoteCodeConfig

if TYPE_CHECKING:
    import torch

    from curate.models.base import Writing
    from curate.models.chat import ChatCaptioner
    from curate.models.checkpoints import Checkpoint


class Config(RemoteCodeConfig, DecodingConfig):
    """Caption with any checkpoint of ``AutoModelForImageTextToText`` that has a chat template.

    Attributes:
        prompt: what is asked of every picture; the caption is the answer.
        max_tokens: most new tokens of a caption.
        canvas: side of the square that pictures are put on, pixels, for checkpoints that take
            pictures of any size; null is 448.
        tiles: cut pictures into tiles that are encoded one by one, as SmolVLM, Idefics3, InternVL
            and Gemma 3 can; much dearer, for small print.
    """

    model_types: ClassVar[tuple[str, ...]] = MODEL_TYPES

    prompt: str = Field("Describe this picture in one short sentence.", min_length=1)
    max_tokens: int = Field(60, ge=1)
    canvas: int | None = Field(None, ge=32, le=4096)
    tiles: bool = False

    def captioner(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> ChatCaptioner:
        """Load the checkpoint.

        Raises:
            ModelError: the checkpoint cannot be used.
        """
        from curate.models.chat import ChatCaptioner

        return ChatCaptioner(
            checkpoint,
            writing,
            device=device,
            dtype=dtype,
            canvas=self.canvas,
            tiles=self.tiles,
            trust_remote_code=self.trust_remote_code,
        )
