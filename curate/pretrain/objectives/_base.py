"""What every objective's config has.

A file ``objectives/NAME.py`` holds a ``Config`` of this form; ``NAME`` in a recipe finds it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from curate.core.config import FrozenConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.pretrain.objectives._forward import Forward

#: Whether an objective must have a thing, makes use of it when it is there, or takes no notice.
Use = Literal["needs", "uses", "ignores"]


class ObjectiveConfig(FrozenConfig):
    """Base of the objectives' configs.

    Attributes:
        kind: the file's name.
        weight: of this loss in the sum.
        from_epoch: first epoch, from 0, in which it counts. ITC alone first is cheap, and what it
            teaches is what ITM's evidence and the captions are made of.
    """

    #: What a model must be able to do: some of ``architectures._base.ABILITIES``.
    needs: ClassVar[frozenset[str]] = frozenset()
    teacher: ClassVar[Use] = "ignores"
    queue: ClassVar[Use] = "ignores"

    kind: str
    weight: float = Field(1.0, gt=0)
    from_epoch: int = Field(0, ge=0)

    def draw(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor,
        config: Any,
        *,
        generator: torch.Generator,
        vocabulary: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """Leave to chance what depends on the texts alone, once for a whole batch.

        So a batch that is cut into parts draws what the whole one would.

        Args:
            ids_BL: token ids, [CLS] first, on the CPU.
            mask_BL: 1 where there is a token.
            config: the model's, for the ids of special tokens.
            generator: source of chance, on the CPU.
            vocabulary: ids by word piece, for objectives that name words.

        Returns:
            Tensors whose first dimension is B; ``loss`` finds them as ``forward.drawn[kind]``.
        """
        del ids_BL, mask_BL, config, generator, vocabulary
        return {}

    def units(self, mask_BL: Tensor, drawn: dict[str, Tensor]) -> int:
        """Return the number of things that ``loss`` is the mean of: the weight of a part.

        Args:
            mask_BL: 1 where there is a token.
            drawn: what ``draw`` returned.
        """
        del drawn
        return len(mask_BL)

    @abstractmethod
    def loss(self, forward: Forward) -> Tensor:
        """Return the loss of one batch, a scalar."""
