"""Pairs to train on, and their pictures as the model takes them.

Shapes: C channels, S side of the square.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.core.pairs import ListSource, Pair, PairSource, open_tables
from curate.images import ImageFault, decode

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ListSource", "Pair", "PairSource", "decode_square", "open_tables"]


def decode_square(body: bytes, size: int) -> Tensor | None:
    """Return a picture as uint8 [C, S, S], or None when it cannot be decoded."""
    import torch

    from curate.models.med_pixels import square_pixels

    try:
        rgb = decode(body)
        if not rgb.flags.writeable:
            rgb = rgb.copy()
    except ImageFault:
        return None
    return square_pixels(torch.from_numpy(rgb), size)
