"""Texts made wrong by one word: a word is swapped for another of its group.

Such near misses teach a matcher to look at every word, where the batch's other texts mostly differ
in all of them. Source of the idea: Shekhar et al. 2017, "FOIL" (https://arxiv.org/abs/1705.01359);
as negatives in training: Yuksekgonul et al. 2023 (https://arxiv.org/abs/2210.01936).

Shapes: B pairs, L text tokens, V vocabulary, G groups, W words of the largest group.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.core.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class SwapTable:
    """Groups of words as ids of a vocabulary.

    Attributes:
        group_V: the group of each word piece; -1 where it is in none.
        place_V: its place in the group.
        continues_V: True where a piece goes on with the word before it.
        words_GW: the ids of each group's words; places beyond its size mean nothing.
        sizes_G: words of each group.
    """

    group_V: Tensor
    place_V: Tensor
    continues_V: Tensor
    words_GW: Tensor
    sizes_G: Tensor


def swap_table(groups: Sequence[Sequence[str]], vocabulary: Mapping[str, int]) -> SwapTable:
    """Look the groups' words up.

    Args:
        groups: of two words or more, no word twice.
        vocabulary: ids by word piece; pieces that go on with a word begin with ``##``.

    Raises:
        ModelError: a word that is no piece of the vocabulary.
    """
    import torch

    if missing := [word for group in groups for word in group if word not in vocabulary]:
        raise ModelError(
            f"itm.swaps: {missing[0]!r} is no word of the vocabulary of {len(vocabulary):,}: "
            "leave it out, or keep more word pieces (start.vocabulary)"
        )
    size = max(vocabulary.values()) + 1
    group_V = torch.full((size,), -1)
    place_V = torch.zeros(size, dtype=torch.int64)
    words_GW = torch.zeros(len(groups), max(map(len, groups)), dtype=torch.int64)
    for number, group in enumerate(groups):
        ids = torch.tensor([vocabulary[word] for word in group])
        group_V[ids] = number
        place_V[ids] = torch.arange(len(ids))
        words_GW[number, : len(ids)] = ids
    continues_V = torch.zeros(size, dtype=torch.bool)
    continues_V[[place for piece, place in vocabulary.items() if piece.startswith("##")]] = True
    return SwapTable(
        group_V, place_V, continues_V, words_GW, torch.tensor([len(group) for group in groups])
    )


def swapped(ids_BL: Tensor, table: SwapTable, *, generator: torch.Generator) -> Tensor:
    """Return the texts [B, L] with one word each swapped for another of its group.

    The word is any of those that have a group, with equal chance, and so is the other. A text
    without one comes back as it is.

    Args:
        ids_BL: token ids.
        table: the groups.
        generator: source of chance, on the CPU as everything here.
    """
    import torch

    whole_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    whole_BL[:, :-1] = ~table.continues_V[ids_BL[:, 1:]]
    can_BL = (table.group_V[ids_BL] >= 0) & whole_BL
    chance_BL = torch.rand(ids_BL.shape, generator=generator)
    at_B = chance_BL.masked_fill(~can_BL, -1.0).argmax(1)
    rows_B = torch.arange(len(ids_BL))
    word_B = ids_BL[rows_B, at_B]
    group_B = table.group_V[word_B].clamp(min=0)
    sizes_B = table.sizes_G[group_B]
    step_B = 1 + (torch.rand(len(ids_BL), generator=generator) * (sizes_B - 1)).long()
    other_B = table.words_GW[group_B, (table.place_V[word_B] + step_B) % sizes_B]
    near_BL = ids_BL.clone()
    near_BL[rows_B, at_B] = torch.where(can_BL.any(1), other_B, word_B)
    return near_BL
