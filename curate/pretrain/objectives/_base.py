"""What every objective's config has.

A file ``objectives/NAME.py`` holds a ``Config`` of this form; ``NAME`` in a recipe finds it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field

from curate.core.config import FrozenConfig

if TYPE_CHECKING:
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward


class ObjectiveConfig(FrozenConfig):
    """Base of the objectives' configs.

    Attributes:
        kind: the file's name.
        weight: of this loss in the sum.
        from_epoch: first epoch, from 0, in which it counts. ITC alone first is cheap, and what it
            teaches is what ITM's evidence and the captions are made of.
    """

    kind: str
    weight: float = Field(1.0, gt=0)
    from_epoch: int = Field(0, ge=0)

    @abstractmethod
    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
