"""MLM: say which words were masked, from the rest of the text and the image.

Of each text 15% of the tokens are chosen; of these 80% become [MASK], 10% some other token and 10%
stay. Source: Devlin et al. 2019, "BERT", section 3.1 (https://arxiv.org/abs/1810.04805); with an
image and a momentum teacher: Li et al. 2021, "ALBEF", equations 3 and 7
(https://arxiv.org/abs/2107.07651).

Shapes: B pairs, L text tokens, V vocabulary, N chosen tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from curate.pretrain.objectives._base import ObjectiveConfig, Use
from curate.pretrain.objectives._forward import mean

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward

_AS_MASK, _AS_ANOTHER = 0.8, 0.1


class Config(ObjectiveConfig):
    """Settings of MLM.

    Attributes:
        share: of a text's tokens, those that are chosen; at least one of each text.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"unmask"})
    teacher: ClassVar[Use] = "uses"
    kind: Literal["mlm"] = "mlm"
    share: float = Field(0.15, gt=0, lt=1)

    def draw(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        config: Any,
        *,
        generator: torch.Generator,
        vocabulary: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Choose tokens and mask them."""
        del vocabulary
        # special tokens come first in the vocabulary, [DEC] last among them
        first_word = config.dec_token_id + 1
        masked_BL, chosen_BL = mask_tokens(
            *(ids_BL, mask_BL, self.share),
            mask_id=config.mask_token_id,
            word_ids=(first_word, config.vocab_size),
            generator=generator,
        )
        return {"masked": masked_BL, "chosen": chosen_BL}

    def units(self, mask_BL: Tensor, drawn: dict[str, Tensor]) -> int:
        """Return the number of tokens chosen."""
        del mask_BL
        return int(drawn["chosen"].sum())

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
        drawn, pairs = forward.draws(self), forward.pairs
        chosen_BL = drawn["chosen"]
        inputs = (drawn["masked"], pairs.mask_BL)
        logits_NV = forward.model.mask_logits(*inputs, pairs.image_tokens_BMD)[chosen_BL].float()
        opinion_NV = None
        if forward.teacher is not None and forward.alpha:
            teacher = forward.teacher
            seen = teacher.pairs.image_tokens_BMD
            opinion_NV = teacher.model.mask_logits(*inputs, seen)[chosen_BL].float()
        return mlm_loss(logits_NV, pairs.ids_BL[chosen_BL], opinion_NV, alpha=forward.alpha)


def mlm_loss(
    logits_NV: Tensor, ids_N: Tensor, opinion_NV: Tensor | None = None, *, alpha: float = 0.0
) -> Tensor:
    """Return the cross-entropy of the chosen tokens, the target softened by a teacher's logits.

    Args:
        logits_NV: what the model says stood there.
        ids_N: what did.
        opinion_NV: a teacher's logits for the same places; None where there is none.
        alpha: weight of its opinion, in [0, 1].

    Returns:
        A scalar, at least 0; log V when the model knows nothing.
    """
    import torch.nn.functional as F

    hard = mean(F.cross_entropy(logits_NV, ids_N, reduction="none"))
    if opinion_NV is None or not alpha:
        return hard
    soft = mean(-(opinion_NV.detach().softmax(1) * logits_NV.log_softmax(1)).sum(1))
    return (1 - alpha) * hard + alpha * soft


def mask_tokens(
    ids_BL: Tensor,
    mask_BL: Tensor,
    share: float,
    *,
    mask_id: int,
    word_ids: tuple[int, int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Choose tokens of each text and mask them.

    Args:
        ids_BL: token ids; the first and the last of each text are special and never chosen.
        mask_BL: 1 where there is a token.
        share: of each text's words; at least one word is chosen where there is one.
        mask_id: of [MASK].
        word_ids: first of the words' ids, and one after the last.
        generator: source of chance, on the CPU.

    Returns:
        Ids [B, L] with chosen ones masked, replaced or left, and which were chosen [B, L].
    """
    import torch

    words_BL = mask_BL.bool().clone()
    lengths_B = words_BL.sum(1)
    words_BL[:, 0] = False
    words_BL[torch.arange(len(ids_BL)), lengths_B - 1] = False
    wanted_B = (words_BL.sum(1) * share).round().clamp(min=1).long()
    order_BL = torch.rand(ids_BL.shape, generator=generator).masked_fill(~words_BL, 2.0)
    rank_BL = order_BL.argsort(1).argsort(1)
    chosen_BL = (rank_BL < wanted_B[:, None]) & words_BL
    fate_BL = torch.rand(ids_BL.shape, generator=generator)
    others_BL = torch.randint(*word_ids, ids_BL.shape, generator=generator)
    masked_BL = ids_BL.masked_fill(chosen_BL & (fate_BL < _AS_MASK), mask_id)
    another_BL = chosen_BL & (fate_BL >= _AS_MASK) & (fate_BL < _AS_MASK + _AS_ANOTHER)
    return torch.where(another_BL, others_BL, masked_BL), chosen_BL
