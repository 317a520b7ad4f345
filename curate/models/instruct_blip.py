"""InstructBLIP of transformers: BLIP-2 whose Q-Former reads the instruction too.

Source: Dai et al. 2023, "InstructBLIP" (https://arxiv.org/abs/2305.06500), section 2.3; the network
is ``transformers.models.instructblip``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from curate.models.blip_2 import Blip2Captioner
from curate.models.checkpoints import Checkpoint
from curate.models.keyed_generation import as_row, ids_of
from curate.models.loading import load_tokenizer


class InstructBlipCaptioner(Blip2Captioner):
    """Writes captions with an ``InstructBlipForConditionalGeneration`` checkpoint."""

    def _network(self) -> Any:
        from transformers import InstructBlipForConditionalGeneration

        return InstructBlipForConditionalGeneration

    def _asked(self, checkpoint: Checkpoint, prompt: str) -> Mapping[str, Tensor]:
        """Return the instruction as the Q-Former's own tokenizer puts it.

        Raises:
            ModelError: the checkpoint has no folder ``qformer_tokenizer``.
        """
        inner = replace(checkpoint, folder=checkpoint.folder / "qformer_tokenizer")
        ids = ids_of(load_tokenizer(inner), prompt, special=True)
        return {
            "qformer_input_ids": as_row(ids),
            "qformer_attention_mask": as_row([1] * len(ids)),
        }
