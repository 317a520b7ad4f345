"""BLIP-2 of transformers: a Q-Former between a frozen tower and a language model (OPT, Flan-T5).

Source: Li et al. 2023, "BLIP-2" (https://arxiv.org/abs/2301.12597), section 3; the network is
``transformers.models.blip_2``. Tower and Q-Former run once per image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Writing
from curate.models.checkpoints import Checkpoint
from curate.models.encode_once import EncodeOnce
from curate.models.keyed_generation import (
    KeyedGeneration,
    Prompt,
    as_row,
    ids_of,
    require_room,
    special_ids,
    text_positions,
)
from curate.models.loading import load_model, load_tokenizer
from curate.models.picture_processing import CLIP_MEAN, CLIP_STD, PictureProcessing
from curate.models.prompted_captioner import PromptedCaptioner


class Blip2Captioner(PromptedCaptioner):
    """Writes captions with a ``Blip2ForConditionalGeneration`` checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it is damaged, from before its config named the picture's token, or prompt
                and captions are too long for it.
        """
        model = load_model(self._network(), checkpoint, device=device, dtype=dtype)
        side = int(model.config.vision_config.image_size)
        self.signature = checkpoint.signature
        self._pictures = PictureProcessing(
            checkpoint,
            defaults={"size": side, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
            side=side,
        )
        tokenizer = load_tokenizer(checkpoint)
        special = special_ids(model, tokenizer)
        self._model = model
        self._like = next(model.vision_model.parameters())  # the Q-Former may stay in float32
        self._generation = KeyedGeneration(
            model=model,
            tokenizer=tokenizer,
            prompt=self._prompt(checkpoint, tokenizer, writing, special.decoder_start),
            special=special,
            writing=writing,
            once=EncodeOnce(model.vision_model, model.qformer),
        )
        self._generation.govern(model.language_model)

    def _network(self) -> Any:
        from transformers import Blip2ForConditionalGeneration

        return Blip2ForConditionalGeneration

    def _asked(self, checkpoint: Checkpoint, prompt: str) -> Mapping[str, Tensor]:
        """Return what else ``generate`` needs to know of the prompt."""
        return {}

    def _prompt(
        self, checkpoint: Checkpoint, tokenizer: Any, writing: Writing, start: int | None
    ) -> Prompt:
        """Places for the picture's tokens, then the text as its tokenizer begins and ends it."""
        config = self._model.config
        if config.image_token_index is None:
            raise ModelError(
                f"{checkpoint.folder} was written before its config named the picture's token: "
                "take a newer revision, whose config.json has image_token_index"
            )
        places = [int(config.image_token_index)] * int(config.num_query_tokens)
        ids = places + ids_of(tokenizer, writing.prompt, special=True)
        text = self._model.language_model.config
        before = (int(start or 0),) if text.is_encoder_decoder else tuple(ids)
        needed = len(before) + writing.max_tokens
        require_room(checkpoint.name, needed=needed, positions=text_positions(text))
        inputs = {"input_ids": as_row(ids), "attention_mask": as_row([1] * len(ids))}
        return Prompt({**inputs, **self._asked(checkpoint, writing.prompt)}, before)
