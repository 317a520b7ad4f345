"""ITC: an image's text among the batch's texts, and a text's image among its images.

Source: Radford et al. 2021, "CLIP", figure 3 (https://arxiv.org/abs/2103.00020); with a momentum
teacher, which softens the targets, and its queue of more negatives: Li et al. 2021, "ALBEF",
equations 1 and 6 (https://arxiv.org/abs/2107.07651), as BLIP has it (section 3.2,
https://arxiv.org/abs/2201.12086). It is InfoNCE both ways (van den Oord et al. 2018,
https://arxiv.org/abs/1807.03748): a lower bound of what image and text say of each other.

Shapes: B pairs of this worker, P projection, C candidates (the batch's, then the queue's).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from curate.pretrain.objectives._base import ObjectiveConfig, Use
from curate.pretrain.objectives._forward import mean, similarity

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Among, Forward


class Config(ObjectiveConfig):
    """Settings of ITC.

    With a teacher, candidates are the teacher's embeddings of the batch and of the queue, and the
    target is in part the teacher's opinion; without, candidates are the batch's own.
    """

    teacher: ClassVar[Use] = "uses"
    queue: ClassVar[Use] = "uses"
    kind: Literal["itc"] = "itc"

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        if forward.teacher is not None:
            return _taught(forward, forward.teacher)
        return itc_loss(
            forward.image_embeds,
            forward.text_embeds,
            logit_scale=forward.model.logit_scale,
            image_ids_B=forward.pairs.image_ids_B,
            among=forward.among,
        )


def itc_loss(
    image_embeds_BP: Tensor,
    text_embeds_BP: Tensor,
    *,
    logit_scale: Tensor,
    image_ids_B: Tensor,
    among: Among | None = None,
) -> Tensor:
    """Return the mean of the image-to-text and the text-to-image cross-entropy.

    Pairs of the same picture are all right answers, and share the target evenly.

    Args:
        image_embeds_BP: of unit norm.
        text_embeds_BP: of unit norm; row b belongs to image b.
        logit_scale: multiplies the cosines; a scalar.
        image_ids_B: equal where two pairs show the same picture.
        among: the pairs that candidates are taken from, these included; None: these alone.

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
    if among is None:
        i2t_BC = similarity(image_embeds_BP, text_embeds_BP, logit_scale=logit_scale)
        t2i_BC, ids_C = i2t_BC.T, image_ids_B
    else:
        i2t_BC = similarity(image_embeds_BP, among.text_embeds_CP, logit_scale=logit_scale)
        t2i_BC = similarity(text_embeds_BP, among.image_embeds_CP, logit_scale=logit_scale)
        ids_C = among.image_ids_C
    same_BC = (image_ids_B[:, None] == ids_C[None, :]).to(i2t_BC.dtype)
    target_BC = same_BC / same_BC.sum(1, keepdim=True)
    i2t = mean(-(target_BC * i2t_BC.log_softmax(1)).sum(1))
    t2i = mean(-(target_BC * t2i_BC.log_softmax(1)).sum(1))
    return (i2t + t2i) / 2


def _taught(forward: Forward, teacher: Forward) -> Tensor:
    import torch

    images_CP, texts_CP = teacher.all_image_embeds, teacher.all_text_embeds
    ids_B, ids_C = forward.pairs.image_ids_B, forward.all_image_ids
    if forward.queues is not None:
        images_CP = torch.cat([images_CP, forward.queues.image_embeds(images_CP)])
        texts_CP = torch.cat([texts_CP, forward.queues.text_embeds(texts_CP)])
        ids_C = torch.cat([ids_C, forward.queues.image_ids])
    same_BC = ids_B[:, None] == ids_C[None, :]
    scale = forward.model.logit_scale
    i2t = taught_loss(
        *(forward.image_embeds, texts_CP, teacher.image_embeds),
        logit_scale=scale,
        same_BC=same_BC,
        alpha=forward.alpha,
    )
    t2i = taught_loss(
        *(forward.text_embeds, images_CP, teacher.text_embeds),
        logit_scale=scale,
        same_BC=same_BC,
        alpha=forward.alpha,
    )
    return (i2t + t2i) / 2


def taught_loss(
    embeds_BP: Tensor,
    candidates_CP: Tensor,
    teacher_embeds_BP: Tensor,
    *,
    logit_scale: Tensor,
    same_BC: Tensor,
    alpha: float,
) -> Tensor:
    """Return one direction's cross-entropy with the target softened by a teacher.

    Args:
        embeds_BP: of one side, of unit norm; they alone are taught.
        candidates_CP: the other side's, as the teacher sees them.
        teacher_embeds_BP: of the first side, as the teacher sees them.
        logit_scale: multiplies the cosines; a scalar.
        same_BC: True where a candidate shows the same picture: right answers, which share the hard
            target evenly. Each row has one.
        alpha: weight of the teacher's opinion, in [0, 1].

    Returns:
        A scalar, at least 0.
    """
    import torch

    logits_BC = similarity(embeds_BP, candidates_CP, logit_scale=logit_scale)
    with torch.no_grad():
        hard_BC = same_BC.to(logits_BC.dtype)
        target_BC = hard_BC / hard_BC.sum(1, keepdim=True)
        if alpha:
            opinion_BC = similarity(teacher_embeds_BP, candidates_CP, logit_scale=logit_scale)
            target_BC = alpha * opinion_BC.softmax(1) + (1 - alpha) * target_BC
    return mean(-(target_BC * logits_BC.log_softmax(1)).sum(1))
