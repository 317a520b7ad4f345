"""ITM: does this text belong to this image, with the batch's hardest mismatches.

For every pair one foreign text and one foreign image are drawn from the batch, with probability
proportional to softmax(similarity) + 1e-4. Source: Li et al. 2021, "ALBEF", section 3.2
(https://arxiv.org/abs/2107.07651), as BLIP has it (https://arxiv.org/abs/2201.12086). With groups
of words to swap, a pair's own text with one word swapped is a third mismatch (``_swaps.py``).

Shapes: B pairs of this worker, C of all workers, L text tokens, N texts judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives._forward import mean
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
        near_BL = swapped(ids_BL, table, generator=generator)
        return {"near_ids": near_BL, "near": (near_BL != ids_BL).any(1)}

    def units(self, mask_BL: Tensor, drawn: dict[str, Tensor]) -> int:
        """Return the number of texts judged: each pair's, two foreign ones, and those swapped."""
        return 3 * len(mask_BL) + (int(drawn["near"].sum()) if self.swaps else 0)

    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar.

        A batch of one picture has no mismatches; its pairs are then judged alone.
        """
        import torch

        model, pairs = forward.model, forward.pairs
        with torch.no_grad():
            i2t_BC, t2i_BC = forward.similarities()
        text_of, image_of = hard_negatives(
            *(self.hardness * i2t_BC, self.hardness * t2i_BC, forward.all_image_ids),
            own=forward.own,
            generator=forward.generator,
        )
        own = torch.arange(len(pairs.ids_BL), device=pairs.ids_BL.device)
        have_text, have_image = text_of >= 0, image_of >= 0
        all_ids_CL, all_mask_CL = forward.all_texts
        first = forward.own.start
        texts = torch.cat([own + first, text_of[have_text], own[have_image] + first])
        tokens, foreign = forward.image_tokens_of(image_of[have_image])
        images = torch.cat([own, own[have_text], foreign])
        ids_NL, mask_NL = all_ids_CL[texts], all_mask_CL[texts]
        if self.swaps:
            drawn = forward.draws(self)
            near = drawn["near"]
            ids_NL = torch.cat([ids_NL, drawn["near_ids"][near]])
            mask_NL = torch.cat([mask_NL, pairs.mask_BL[near]])
            images = torch.cat([images, own[near]])
        logits = model.fuse(ids_NL, mask_NL, tokens, images)
        matched = torch.arange(len(images), device=own.device) < len(own)
        return itm_loss(logits.float(), matched)


def itm_loss(logits_B2: Tensor, matched_B: Tensor) -> Tensor:
    """Return the mean cross-entropy of match against mismatch.

    Args:
        logits_B2: unmatched, matched.
        matched_B: True where the text belongs to the image.
    """
    import torch.nn.functional as F

    return mean(F.cross_entropy(logits_B2, matched_B.long(), reduction="none"))


def hard_negatives(
    i2t_BC: Tensor,
    t2i_BC: Tensor,
    image_ids_C: Tensor,
    *,
    own: slice,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw one foreign text for every image, and one foreign image for every text.

    Args:
        i2t_BC: scaled similarities of this worker's images with all workers' texts.
        t2i_BC: of its texts with all images.
        image_ids_C: equal where two pairs show the same picture; such are never drawn.
        own: where this worker's pairs stand among all.
        generator: source of chance, on the CPU; the same with every worker.

    Returns:
        Numbers of the texts [B] and of the images [B] among all; -1 where nothing is foreign.
    """
    same_BC = image_ids_C[own, None] == image_ids_C[None, :]
    text_of = _draw(i2t_BC.softmax(1), same_BC, own, generator)
    image_of = _draw(t2i_BC.softmax(1), same_BC, own, generator)
    return text_of, image_of


def _draw(likely_BC: Tensor, same_BC: Tensor, own: slice, generator: torch.Generator) -> Tensor:
    import torch

    weights_BC = (likely_BC.float() + FLOOR).masked_fill(same_BC, 0.0)
    nothing_B = same_BC.all(1)
    weights_BC[nothing_B] = 1.0
    # chance comes from the CPU, so that a seed means the same on every device, and is drawn for
    # all workers' pairs, so that it means the same with any number of them
    uniform_B = torch.rand(weights_BC.shape[1], generator=generator)[own].to(weights_BC.device)
    edges_BC = weights_BC.cumsum(1)
    drawn_B = torch.searchsorted(edges_BC, (uniform_B * edges_BC[:, -1])[:, None], right=True)[:, 0]
    # rounding may land on the far edge: step back onto the last candidate that has weight
    last_B = (weights_BC > 0).long().cumsum(1).argmax(1)
    return torch.minimum(drawn_B, last_B).masked_fill(nothing_B, -1)
