"""ITM: does this text belong to this image, with the batch's hardest mismatches.

For every pair one foreign text and one foreign image are drawn from the batch, with probability
proportional to softmax(similarity) + 1e-4. Source: Li et al. 2021, "ALBEF", section 3.2
(https://arxiv.org/abs/2107.07651), as BLIP has it (https://arxiv.org/abs/2201.12086). With groups
of words to swap, a pair's own text with one word swapped is a third mismatch (``_swaps.py``).

Shapes: B pairs, L text tokens, N texts judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives._forward import similarity
from curate.pretrain.objectives._swaps import swap_table, swapped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward

FLOOR = 1e-4


class Config(ObjectiveConfig):
    """Settings of ITM.

    Attributes:
        hardness: multiplies the similarities that mismatches are drawn by: 1 as published, 0 draws
            them evenly, which a model that cannot tell any mismatch yet learns from sooner.
        swaps: groups of words; each text that has one of them is also shown with one such word
            swapped for another of its group, as a mismatch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"match"})
    kind: Literal["itm"] = "itm"
    hardness: float = Field(1.0, ge=0, le=10)
    swaps: tuple[tuple[str, ...], ...] = ()

    @field_validator("swaps")
    @classmethod
    def _groups_of_different_words(cls, groups: tuple[tuple[str, ...], ...]) -> Any:
        words = [word for group in groups for word in group]
        if short := [group for group in groups if len(group) < 2]:
            raise ValueError(f"a group of {list(short[0])} has nothing to swap: name two or more")
        if twice := [word for word, count in Counter(words).items() if count > 1]:
            raise ValueError(f"{twice[0]!r} is in swaps twice: a word has one group")
        return groups

    def draw(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        config: Any,
        *,
        generator: torch.Generator,
        vocabulary: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Swap a word of every text that has one of a group."""
        del mask_BL, config
        if not self.swaps:
            return {}
        if vocabulary is None:
            raise ValueError("swaps are words: a vocabulary is needed to find them")
        table = swap_table(self.swaps, vocabulary)
        return {"near_ids": swapped(ids_BL, table, generator=generator)}

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar.

        A batch of one picture has no mismatches; its pairs are then judged alone.
        """
        import torch

        model, pairs = forward.model, forward.pairs
        with torch.no_grad():
            logits_BB = similarity(
                forward.image_embeds, forward.text_embeds, logit_scale=model.logit_scale
            )
        text_of, image_of = hard_negatives(
            self.hardness * logits_BB, pairs.image_ids_B, generator=forward.generator
        )
        own = torch.arange(len(pairs.ids_BL), device=pairs.ids_BL.device)
        have_text, have_image = text_of >= 0, image_of >= 0
        texts = torch.cat([own, text_of[have_text], own[have_image]])
        images = torch.cat([own, own[have_text], image_of[have_image]])
        ids_NL = pairs.ids_BL[texts]
        if self.swaps:
            near_BL = forward.draws(self)["near_ids"]
            missed = (near_BL != pairs.ids_BL).any(1)
            ids_NL = torch.cat([ids_NL, near_BL[missed]])
            texts = torch.cat([texts, own[missed]])
            images = torch.cat([images, own[missed]])
        logits = model.fuse(ids_NL, pairs.mask_BL[texts], pairs.image_tokens_BMD, images)
        matched = torch.arange(len(texts), device=own.device) < len(own)
        return itm_loss(logits.float(), matched)


def itm_loss(logits_B2: Tensor, matched_B: Tensor) -> Tensor:
    """Return the mean cross-entropy of match against mismatch.

    Args:
        logits_B2: unmatched, matched.
        matched_B: True where the text belongs to the image.
    """
    import torch.nn.functional as F

    return F.cross_entropy(logits_B2, matched_B.long())


def hard_negatives(
    logits_BB: Tensor, image_ids_B: Tensor, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw one foreign text for every image, and one foreign image for every text.

    Args:
        logits_BB: scaled similarities, images down, texts across.
        image_ids_B: equal where two pairs show the same picture; such are never drawn.
        generator: source of chance, on the CPU.

    Returns:
        Indices of the texts [B] and of the images [B]; -1 where the batch has nothing foreign.
    """
    same_BB = image_ids_B[:, None] == image_ids_B[None, :]
    text_of = _draw(logits_BB.softmax(1), same_BB, generator)
    image_of = _draw(logits_BB.T.softmax(1), same_BB, generator)
    return text_of, image_of


def _draw(likely_BB: Tensor, same_BB: Tensor, generator: torch.Generator) -> Tensor:
    import torch

    weights_BB = (likely_BB.float() + FLOOR).masked_fill(same_BB, 0.0)
    nothing_B = same_BB.all(1)
    weights_BB[nothing_B] = 1.0
    # chance comes from the CPU, so that a seed means the same on every device
    uniform_B = torch.rand(len(weights_BB), generator=generator).to(weights_BB.device)
    edges_BB = weights_BB.cumsum(1)
    drawn_B = torch.searchsorted(edges_BB, (uniform_B * edges_BB[:, -1])[:, None], right=True)[:, 0]
    # rounding may land on the far edge: step back onto the last candidate that has weight
    last_B = (weights_BB > 0).long().cumsum(1).argmax(1)
    return torch.minimum(drawn_B, last_B).masked_fill(nothing_B, -1)
