"""Pairwise sigmoid: does this text belong to this image, asked of every pair of a batch by itself.

No softmax over the batch, so a small batch teaches as well. Source: Zhai et al. 2023, "SigLIP",
section 3.2 (https://arxiv.org/abs/2303.15343).

Shapes: B pairs of this worker, C of all workers, P projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives._forward import similarity

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Among, Forward


class Config(ObjectiveConfig):
    """Settings of the pairwise sigmoid."""

    needs: ClassVar[frozenset[str]] = frozenset({"bias"})
    kind: Literal["sigmoid"] = "sigmoid"

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        return sigmoid_loss(
            *(forward.image_embeds, forward.text_embeds),
            logit_scale=forward.model.logit_scale,
            logit_bias=forward.model.logit_bias,
            image_ids_B=forward.pairs.image_ids_B,
            among=forward.among,
        )


def sigmoid_loss(
    image_embeds_BP: Tensor,
    text_embeds_BP: Tensor,
    *,
    logit_scale: Tensor,
    logit_bias: Tensor,
    image_ids_B: Tensor,
    among: Among | None = None,
) -> Tensor:
    """Return the sum over all image-text pairs of a batch, divided by its size.

    Args:
        image_embeds_BP: of unit norm.
        text_embeds_BP: of unit norm; row b belongs to image b.
        logit_scale: multiplies the cosines; a scalar.
        logit_bias: added to them; a scalar, far below zero in a new model, since nearly all pairs
            are mismatches.
        image_ids_B: equal where two pairs show the same picture, whose texts all belong to it.
        among: the pairs whose texts these images meet, these included; None: these alone.

    Returns:
        A scalar, at least 0; B log 2 when the logits tell nothing.

    Raises:
        ValueError: the two sides differ in number.
    """
    import torch.nn.functional as F

    if image_embeds_BP.shape != text_embeds_BP.shape:
        raise ValueError(
            f"{tuple(image_embeds_BP.shape)} image embeddings for "
            f"{tuple(text_embeds_BP.shape)} text embeddings: the sigmoid takes pairs"
        )
    texts_CP, ids_C = text_embeds_BP, image_ids_B
    if among is not None:
        texts_CP, ids_C = among.text_embeds_CP, among.image_ids_C
    logits_BC = similarity(image_embeds_BP, texts_CP, logit_scale=logit_scale) + logit_bias
    sign_BC = 2.0 * (image_ids_B[:, None] == ids_C[None, :]).to(logits_BC.dtype) - 1
    return -F.logsigmoid(sign_BC * logits_BC).sum() / max(1, len(image_ids_B))
