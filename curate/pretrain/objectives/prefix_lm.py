"""PrefixLM: read the beginning of a text both ways, and write the rest.

Source: Wang et al. 2021, "SimVLM", section 3.1 (https://arxiv.org/abs/2108.10904); beside ITC, ITM
and MLM: Li et al. 2022, "mPLUG", section 3.3 (https://arxiv.org/abs/2205.12005).

Shapes: B pairs, L text tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives.lm import lm_loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward


class Config(ObjectiveConfig):
    """Settings of PrefixLM.

    A text's prefix is drawn evenly, from its first token alone to all but its last.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix"})
    kind: Literal["prefix_lm"] = "prefix_lm"

    def draw(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        config: Any,
        *,
        generator: torch.Generator,
        vocabulary: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Draw the length of each text's prefix, and mark what is to be written."""
        import torch

        del config, vocabulary
        lengths_B = mask_BL.sum(1)
        uniform_B = torch.rand(len(ids_BL), generator=generator)
        prefix_B = 1 + (uniform_B * (lengths_B - 1)).long()
        places_L = torch.arange(ids_BL.shape[1])
        return {"prefix": prefix_B, "written": mask_BL * (places_L >= prefix_B[:, None])}

    def units(self, mask_BL: Tensor, drawn: dict[str, Tensor]) -> int:
        """Return the number of tokens written."""
        del mask_BL
        return int(drawn["written"].sum())

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        model, pairs, drawn = forward.model, forward.pairs, forward.draws(self)
        inputs_BL = pairs.ids_BL[:, :-1].clone()
        inputs_BL[:, 0] = model.config.dec_token_id
        logits_BLV = model.prefix_logits(inputs_BL, drawn["prefix"], pairs.image_tokens_BMD)
        written_BL = drawn["written"][:, 1:]
        return lm_loss(logits_BLV.float(), pairs.ids_BL[:, 1:], written_BL, label_smoothing=0.0)
