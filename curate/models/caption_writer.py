"""Writing captions token by token, for models of this project that have ``decode_logits``.

Shapes: B texts, I images, M image tokens, D width, V vocabulary, S prompt tokens, T new tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from curate.models.med_text import DecoderCache

Choose = Callable[[Tensor, int], Tensor]
"""Picks the next tokens: (logits [B, V], step from 0) -> ids [B]."""


def greedy(logits_BV: Tensor, step: int) -> Tensor:
    """Pick the likeliest token, whatever the step."""
    del step
    return logits_BV.argmax(-1)


class CaptionWriter:
    """What a model gains by ``decode_logits`` and a config with the ids of special tokens.

    Attributes:
        remembers: whether ``decode_logits`` takes a ``cache``; else every step reads all tokens.
    """

    remembers: ClassVar[bool] = True
    config: Any
    decode_logits: Callable[..., Tensor]

    @torch.no_grad()
    def generate(
        self,
        image_tokens_IMD: Tensor,
        prompt_ids_S: Tensor,
        num_tokens: int,
        choose: Choose = greedy,
        *,
        min_tokens: int = 0,
    ) -> Tensor:
        """Write a caption for every image.

        Args:
            image_tokens_IMD: from ``encode_images``.
            prompt_ids_S: ids of the prompt, the same for every image: [DEC], then perhaps words.
            num_tokens: most new tokens, [SEP] included.
            choose: picks the next tokens; steps count from the prompt's end. Special tokens other
                than [SEP] have logit -inf when it is asked.
            min_tokens: new tokens before [SEP] is allowed.

        Returns:
            New ids [I, T], T at most ``num_tokens``; after [SEP] there is only [PAD].

        Raises:
            ValueError: prompt and caption together are longer than the model's positions.
        """
        config = self.config
        if len(prompt_ids_S) + num_tokens > config.max_text_tokens + 1:
            raise ValueError(
                f"a prompt of {len(prompt_ids_S)} tokens and {num_tokens} new ones do not fit into "
                f"the model's {config.max_text_tokens} positions: ask for fewer tokens"
            )
        kept = {"cache": DecoderCache()} if self.remembers else {}
        ids_BL = prompt_ids_S.expand(len(image_tokens_IMD), -1)
        done_B = torch.zeros(len(image_tokens_IMD), dtype=torch.bool, device=ids_BL.device)
        written: list[Tensor] = []
        for step in range(num_tokens):
            logits_BV = self.decode_logits(ids_BL, image_tokens_IMD, **kept)[:, -1].float()
            logits_BV[:, list(config.special_ids)] = -torch.inf
            if step < min_tokens:
                logits_BV[:, config.sep_token_id] = -torch.inf
            next_B = choose(logits_BV, step).masked_fill(done_B, config.pad_token_id)
            written.append(next_B)
            done_B = done_B | (next_B == config.sep_token_id)
            if bool(done_B.all()):
                break
            ids_BL = next_B[:, None] if kept else torch.cat([ids_BL, next_B[:, None]], 1)
        return torch.stack(written, 1) if written else ids_BL[:, :0]
