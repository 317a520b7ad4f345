"""Models that read a text once, for its embedding and for writing it.

Source: Yu et al. 2022, "CoCa", section 3.2 (https://arxiv.org/abs/2205.01917).

Shapes: B texts, L text tokens, M image tokens, D width, P projection, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class ReadsOnce(Protocol):
    """The three steps of one pass."""

    def read_texts(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return states [B, L, D]: of every token but the last column, then of the whole text."""
        ...

    def embed_read(self, states_BLD: Tensor) -> Tensor:
        """Return text embeddings [B, P] of unit norm."""
        ...

    def caption_read(self, states_BLD: Tensor, image_tokens_BMD: Tensor) -> Tensor:
        """Return logits [B, L - 1, V] of the tokens after the first."""
        ...
