"""CoCa's captioning: write the text, in the same pass that embeds it for ITC.

The loss is that of LM without smoothing; CoCa weighs it twice as much as ITC (``weight: 2``).
Source: Yu et al. 2022, "CoCa", section 3.2, equation 4 (https://arxiv.org/abs/2205.01917).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives.lm import lm_loss

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward


class Config(ObjectiveConfig):
    """Settings of captioning. A model that reads texts in two passes takes two."""

    needs: ClassVar[frozenset[str]] = frozenset({"write"})
    kind: Literal["captioning"] = "captioning"

    def units(self, mask_BL: Tensor, drawn: dict[str, Tensor]) -> int:
        """Return the number of tokens written."""
        del drawn
        return int(mask_BL[:, 1:].sum())

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        pairs = forward.pairs
        return lm_loss(
            forward.caption_logits.float(),
            pairs.ids_BL[:, 1:],
            pairs.mask_BL[:, 1:],
            label_smoothing=0.0,
        )
