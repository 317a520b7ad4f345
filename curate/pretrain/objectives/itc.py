"""ITC: an image's text among the batch's texts, and a text's image among its images.

Source: Radford et al. 2021, "CLIP", figure 3 (https://arxiv.org/abs/2103.00020); as BLIP has it,
without the momentum teacher and its queue: Li et al. 2022, section 3.2
(https://arxiv.org/abs/2201.12086).

Shapes: B pairs, P projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives._forward import similarity

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward


class Config(ObjectiveConfig):
    """Settings of ITC."""

    kind: Literal["itc"] = "itc"

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        return itc_loss(
            forward.image_embeds,
            forward.text_embeds,
            logit_scale=forward.model.logit_scale,
            image_ids_B=forward.pairs.image_ids_B,
        )


def itc_loss(
    image_embeds_BP: Tensor, text_embeds_BP: Tensor, *, logit_scale: Tensor, image_ids_B: Tensor
) -> Tensor:
    """Return the mean of the image-to-text and the text-to-image cross-entropy.

    Pairs of the same picture are all right answers, and share the target evenly.

    Args:
        image_embeds_BP: of unit norm.
        text_embeds_BP: of unit norm; row b belongs to image b.
        logit_scale: multiplies the cosines; a scalar.
        image_ids_B: equal where two pairs show the same picture.

    Returns:
        A scalar, at least 0; log B when the embeddings tell nothing.

    Raises:
        ValueError: the two sides differ in number.
    """
    if image_embeds_BP.shape != text_embeds_BP.shape:
        raise ValueError(
            f"{tuple(image_embeds_BP.shape)} image embeddings for "
            f"{tuple(text_embeds_BP.shape)} text embeddings: ITC takes pairs"
        )
    logits_BB = similarity(image_embeds_BP, text_embeds_BP, logit_scale=logit_scale)
    same_BB = (image_ids_B[:, None] == image_ids_B[None, :]).to(logits_BB.dtype)
    target_BB = same_BB / same_BB.sum(1, keepdim=True)
    i2t = -(target_BB * logits_BB.log_softmax(1)).sum(1).mean()
    t2i = -(target_BB * logits_BB.T.log_softmax(1)).sum(1).mean()
    return (i2t + t2i) / 2
