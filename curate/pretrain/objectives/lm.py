"""LM: write the text from the image, token by token, by teacher forcing.

Source: Li et al. 2022, "BLIP", section 3.2, label smoothing 0.1
(https://arxiv.org/abs/2201.12086).

Shapes: B pairs, L text tokens, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives._forward import mean

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward


class Config(ObjectiveConfig):
    """Settings of LM.

    Attributes:
        label_smoothing: share of the target spread evenly over the vocabulary.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"write"})
    kind: Literal["lm"] = "lm"
    label_smoothing: float = Field(0.1, ge=0, lt=1)

    def units(self, mask_BL: Tensor, drawn: dict[str, Tensor]) -> int:
        """Return the number of tokens written."""
        del drawn
        return int(mask_BL[:, 1:].sum())

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        model, pairs = forward.model, forward.pairs
        inputs_BL = pairs.ids_BL[:, :-1].clone()
        inputs_BL[:, 0] = model.config.dec_token_id
        logits_BLV = model.decode_logits(inputs_BL, pairs.image_tokens_BMD)
        return lm_loss(
            logits_BLV.float(),
            pairs.ids_BL[:, 1:],
            pairs.mask_BL[:, 1:],
            label_smoothing=self.label_smoothing,
        )


def lm_loss(
    logits_BLV: Tensor, next_ids_BL: Tensor, mask_BL: Tensor, *, label_smoothing: float
) -> Tensor:
    """Return the cross-entropy of the next tokens, averaged over the batch's tokens.

    Args:
        logits_BLV: what the decoder says after each token.
        next_ids_BL: the token that does follow.
        mask_BL: 1 where that is a token, 0 where it is padding, which does not count.
        label_smoothing: share of the target spread evenly over the vocabulary.

    Returns:
        A scalar, at least 0; log V when the decoder knows nothing.
    """
    import torch.nn.functional as F

    real = mask_BL.bool()
    losses_N = F.cross_entropy(
        *(logits_BLV[real], next_ids_BL[real]), label_smoothing=label_smoothing, reduction="none"
    )
    return mean(losses_N)
