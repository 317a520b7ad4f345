"""Vision encoder-decoders of transformers: any image classifier's tower, any decoder (ViT-GPT2).

Source: Li et al. 2021, "TrOCR" (https://arxiv.org/abs/2109.10282), section 2, which joins the two
in this way; the network is ``transformers.models.vision_encoder_decoder``.
"""

from __future__ import annotations

import torch

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
from curate.models.picture_processing import PictureProcessing
from curate.models.prompted_captioner import PromptedCaptioner

_HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}


class VisionEncoderDecoderCaptioner(PromptedCaptioner):
    """Writes captions with a ``VisionEncoderDecoderModel`` checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it is damaged, nothing says how its texts begin, or prompt and captions
                are too long for it.
        """
        from transformers import VisionEncoderDecoderModel

        model = load_model(VisionEncoderDecoderModel, checkpoint, device=device, dtype=dtype)
        side = getattr(model.config.encoder, "image_size", None)
        side = side if isinstance(side, int) else None
        self.signature = checkpoint.signature
        self._pictures = PictureProcessing(checkpoint, defaults={**_HALF, "size": side}, side=side)
        tokenizer = load_tokenizer(checkpoint)
        special = special_ids(model, tokenizer)
        start = special.decoder_start if special.decoder_start is not None else special.begin
        if start is None:
            raise ModelError(
                f"nothing in {checkpoint.folder} says with which token its decoder begins: put "
                "decoder_start_token_id into its config.json"
            )
        ids = [int(start), *ids_of(tokenizer, writing.prompt, special=False)]
        require_room(
            checkpoint.name,
            needed=len(ids) + writing.max_tokens,
            positions=text_positions(model.config),
        )
        self._like = next(model.encoder.parameters())
        self._generation = KeyedGeneration(
            model=model,
            tokenizer=tokenizer,
            prompt=Prompt(
                {
                    "decoder_input_ids": as_row(ids),
                    "decoder_attention_mask": as_row([1] * len(ids)),
                },
                tuple(ids),
            ),
            special=special,
            writing=writing,
            once=EncodeOnce(model.encoder),
        )
        self._generation.govern(model)
