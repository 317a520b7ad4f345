"""The momentum teacher: a running mean of the model.

Source: Li et al. 2021, "ALBEF", section 3.3 (https://arxiv.org/abs/2107.07651); He et al. 2020,
"MoCo", section 3.2 (https://arxiv.org/abs/1911.05722).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from curate.pretrain.sections import TeacherConfig

if TYPE_CHECKING:
    from torch import Tensor

    from curate.models.pair_model import PairModel


class Teacher:
    """A copy of the model that follows it; it never drops out and never learns.

    Weights that are frozen in the model are shared with it.
    """

    def __init__(self, model: PairModel, config: TeacherConfig) -> None:
        self.config = config
        frozen: dict[int, Any] = {id(p): p for p in model.parameters() if not p.requires_grad}
        self.model: PairModel = copy.deepcopy(model, frozen)
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.model.eval()
        self._names = {name for name, p in model.named_parameters() if p.requires_grad}

    @property
    def _followed(self) -> list[Tensor]:
        return [p for name, p in self.model.named_parameters() if name in self._names]

    def follow(self, model: PairModel) -> None:
        """Move towards the model by a step: ``momentum`` of the teacher is left."""
        import torch

        from curate.pretrain.sharding import local

        with torch.no_grad():
            ours = [local(p) for p in self._followed]
            theirs = [local(p) for p in model.parameters() if p.requires_grad]
            torch._foreach_lerp_(ours, theirs, 1 - self.config.momentum)

    def alpha(self, epochs_done: float) -> float:
        """Return the weight of the teacher's opinion after so many epochs, parts of one counted."""
        ramp = self.config.ramp_epochs
        return self.config.alpha * (min(1.0, epochs_done / ramp) if ramp else 1.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the followed weights by their place."""
        return {str(place): weight for place, weight in enumerate(self._followed)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state_dict`` returned."""
        from curate.pretrain.sharding import like

        for place, weight in enumerate(self._followed):
            weight.copy_(like(weight, state[str(place)]))
