"""Position embeddings for another picture size: the grid is interpolated, as pictures are.

Source: Dosovitskiy et al. 2020, "ViT", section 3.2 (https://arxiv.org/abs/2010.11929).

Shapes: L positions, D width, G side of the grid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from curate.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def fit_positions(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state whose position embeddings have the shapes that another picture size wants.

    Args:
        state: weights of a model.
        wanted: the state of the same model for the other size; its shapes count.

    Raises:
        ModelError: weights differ in shape that are no grid of positions.
    """
    fitted = dict(state)
    for name, value in state.items():
        shape = wanted[name].shape
        if value.shape == shape:
            continue
        old, new = value.flatten(0, -2), wanted[name].flatten(0, -2)
        extra = _extra(len(old), len(new))
        if extra is None or value.shape[-1] != shape[-1]:
            raise ModelError(
                f"{name} is {tuple(value.shape)} and would have to be {tuple(shape)}: only grids "
                "of positions are interpolated"
            )
        fitted[name] = interpolate(old, len(new), extra=extra).view(shape)
    return fitted


def interpolate(positions_LD: Tensor, count: int, *, extra: int) -> Tensor:
    """Return position embeddings of a finer or coarser grid.

    Args:
        positions_LD: ``extra`` embeddings of no place, then a square grid, row by row.
        count: how many are wanted, the extra ones counted.
        extra: embeddings that are no part of the grid (the pooled token's), kept as they are.
    """
    import torch
    import torch.nn.functional as F

    old, new = math.isqrt(len(positions_LD) - extra), math.isqrt(count - extra)
    grid_1DGG = positions_LD[extra:].T.reshape(1, -1, old, old).float()
    resized = F.interpolate(grid_1DGG, (new, new), mode="bicubic", align_corners=False)
    resized_LD = resized.flatten(2)[0].T.to(positions_LD.dtype)
    return torch.cat([positions_LD[:extra], resized_LD])


def _extra(old: int, new: int) -> int | None:
    """Return how many embeddings stand before both grids, 0 or 1; None where they are no grids."""
    for extra in (1, 0):
        if all(
            count > extra and math.isqrt(count - extra) ** 2 == count - extra
            for count in (old, new)
        ):
            return extra
    return None
