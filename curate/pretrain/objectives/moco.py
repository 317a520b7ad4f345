"""MoCo across modalities: an image against a queue of texts, a text against a queue of images.

The right answer is the momentum teacher's embedding of the pair's other side; the wrong ones are
the teacher's of earlier batches alone, so their number is decoupled from the batch and few devices
suffice. Source: Huo et al. 2021, "WenLan" (BriVL), section 3.2, equations 1 and 2
(https://arxiv.org/abs/2103.06561), after He et al. 2020 (https://arxiv.org/abs/1911.05722).

Shapes: B pairs, P projection, Q entries in the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.pretrain.objectives._base import ObjectiveConfig, Use
from curate.pretrain.objectives._forward import mean, similarity

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward


class Config(ObjectiveConfig):
    """Settings of MoCo across modalities."""

    teacher: ClassVar[Use] = "needs"
    queue: ClassVar[Use] = "needs"
    kind: Literal["moco"] = "moco"

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar; 0 until the queues are full.

        With few wrong answers or none, all embeddings would run together before there are more.
        """
        teacher, queues = forward.teacher, forward.queues
        assert teacher is not None
        assert queues is not None
        if len(queues) < queues.size:
            return (forward.image_embeds + forward.text_embeds).sum() * 0.0
        same_BQ = forward.pairs.image_ids_B[:, None] == queues.image_ids[None, :]
        scale = forward.model.logit_scale
        i2t = moco_loss(
            *(forward.image_embeds, teacher.text_embeds, queues.text_embeds(teacher.text_embeds)),
            logit_scale=scale,
            same_BQ=same_BQ,
        )
        t2i = moco_loss(
            *(forward.text_embeds, teacher.image_embeds, queues.image_embeds(teacher.image_embeds)),
            logit_scale=scale,
            same_BQ=same_BQ,
        )
        return (i2t + t2i) / 2


def moco_loss(
    embeds_BP: Tensor,
    partners_BP: Tensor,
    queue_QP: Tensor,
    *,
    logit_scale: Tensor,
    same_BQ: Tensor,
) -> Tensor:
    """Return one direction's InfoNCE against a queue.

    Args:
        embeds_BP: of one side, of unit norm; they alone are taught.
        partners_BP: the other side of each pair, as the teacher sees it.
        queue_QP: the other side of earlier pairs, as the teacher saw it.
        logit_scale: multiplies the cosines; a scalar.
        same_BQ: True where an entry shows the same picture, which is no wrong answer.

    Returns:
        A scalar, at least 0; log(1 + Q) when the embeddings tell nothing.
    """
    import torch

    right_B = (logit_scale * embeds_BP * partners_BP).sum(1)
    wrong_BQ = similarity(embeds_BP, queue_QP, logit_scale=logit_scale)
    wrong_BQ = wrong_BQ.masked_fill(same_BQ, -torch.inf)
    logits = torch.cat([right_B[:, None].to(wrong_BQ.dtype), wrong_BQ], 1)
    return mean(-logits.log_softmax(1)[:, 0])
