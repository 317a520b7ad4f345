"""GIT of transformers: a decoder that reads the picture's tokens as a prefix.

Source: Wang et al. 2022, "GIT: A Generative Image-to-text Transformer for Vision and Language"
(https://arxiv.org/abs/2205.14100), section 3.1; the network is ``transformers.models.git``.
"""

from __future__ import annotations

import torch

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


class GitCaptioner(PromptedCaptioner):
    """Writes captions with a ``GitForCausalLM`` checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, writing: Writing, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it is damaged, or prompt and captions are too long for it.
        """
        from transformers import GitForCausalLM

        model = load_model(GitForCausalLM, checkpoint, device=device, dtype=dtype)
        side = int(model.config.vision_config.image_size)
        self.signature = checkpoint.signature
        self._pictures = PictureProcessing(
            checkpoint,
            defaults={
                **{"size": {"shortest_edge": side}, "crop_size": side, "do_center_crop": True},
                **{"image_mean": CLIP_MEAN, "image_std": CLIP_STD},
            },
            side=side,
            number_is_square=False,
        )
        tokenizer = load_tokenizer(checkpoint)
        special = special_ids(model, tokenizer)
        begin = special.begin if special.begin is not None else int(tokenizer.cls_token_id)
        ids = [int(begin), *ids_of(tokenizer, writing.prompt, special=False)]
        require_room(
            checkpoint.name,
            needed=len(ids) + writing.max_tokens,
            positions=text_positions(model.config),
        )
        prompt = Prompt(
            {"input_ids": as_row(ids), "attention_mask": as_row([1] * len(ids))}, tuple(ids)
        )
        self._like = model.output.weight
        self._generation = KeyedGeneration(
            model=model,
            tokenizer=tokenizer,
            prompt=prompt,
            special=special,
            writing=writing,
            once=EncodeOnce(model.git.image_encoder),
            beams_repeat=True,
        )
        self._generation.govern(model)
