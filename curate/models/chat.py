"""Chat models of transformers that see: LLaVA, Qwen-VL, SmolVLM and all others with a template.

Source: Liu et al. 2023, "Visual Instruction Tuning" (https://arxiv.org/abs/2304.08485), section 4;
the networks are those of ``AutoModelForImageTextToText``. What is asked of every picture stands in
``prompt``; the caption is the answer.
"""

from __future__ import annotations

from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image

from curate.core.errors import ModelError
from curate.models.base import Pixels, Writing
from curate.models.chat_pictures import ChatPictures
from curate.models.checkpoints import Checkpoint
from curate.models.encode_once import EncodeOnce
from curate.models.keyed_generation import (
    KeyedGeneration,
    Prompt,
    require_room,
    special_ids,
    text_positions,
)
from curate.models.loading import load_model
from curate.models.processors import load_processor
from curate.models.prompted_captioner import PromptedCaptioner

#: Names under which the families keep the tower that sees.
_TOWERS = ("vision_tower", "visual", "vision_model", "vision_encoder", "image_tower")


class ChatCaptioner(PromptedCaptioner):
    """Writes captions with a chat model."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        writing: Writing,
        *,
        device: torch.device,
        dtype: torch.dtype,
        canvas: int | None = None,
        tiles: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: a checked checkpoint.
            writing: how captions are written; its prompt is what the user asks.
            device: where the network shall run.
            dtype: type of its weights.
            canvas: see :class:`ChatPictures`.
            tiles: see :class:`ChatPictures`.
            trust_remote_code: run the checkpoint's own code, where it brings some.

        Raises:
            ModelError: it is damaged, has no chat template, or the conversation is too long for
                it.
        """
        from transformers import AutoModelForImageTextToText

        model_type = str((checkpoint.read_json("config.json") or {}).get("model_type"))
        model = load_model(
            AutoModelForImageTextToText,
            checkpoint,
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
        processor = load_processor(checkpoint, model_type, trust_remote_code=trust_remote_code)
        self.signature = checkpoint.signature
        self._pictures = ChatPictures(
            processor.image_processor, tiles=tiles, canvas=canvas, name=checkpoint.name
        )
        self._like = next(model.parameters())
        prompt = _conversation(processor, writing.prompt, self._pictures.plain)
        needed = len(prompt.before) + writing.max_tokens
        require_room(checkpoint.name, needed=needed, positions=text_positions(model.config))
        self._generation = KeyedGeneration(
            model=model,
            tokenizer=processor.tokenizer,
            prompt=prompt,
            special=special_ids(model, processor.tokenizer),
            writing=writing,
            once=EncodeOnce(*_towers(model)),
        )
        self._generation.govern(model)


def _conversation(processor: Any, request: str, plain: Pixels) -> Prompt:
    """Return a user's turn with a picture and a request, up to where the answer begins.

    Raises:
        ModelError: the chat template does not take them.
    """
    content = [
        {"type": "image", "image": Image.fromarray(plain)},
        {"type": "text", "text": request},
    ]
    try:
        inputs = processor.apply_chat_template(
            [[{"role": "user", "content": content}]],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
    except (ValueError, TypeError, KeyError, TemplateError) as error:
        raise ModelError(
            f"the checkpoint's chat template does not take a picture and a request: {error}"
        ) from error
    said = {name: value for name, value in inputs.items() if name != "pixel_values"}
    return Prompt(said, tuple(said["input_ids"][0].tolist()))


def _towers(model: Any) -> list[Any]:
    inner = getattr(model, "model", model)
    return [found for name in _TOWERS if (found := getattr(inner, name, None)) is not None][:1]
