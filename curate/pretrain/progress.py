"""How far a training is, for who looks on."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any


@dataclass
class TrainingProgress:
    """What ``progress.json`` says of a training; see ``core.progress``.

    Attributes:
        name: of the recipe.
        doing: for people.
        step: steps done.
        steps: in all; None until the data were looked through.
        first: steps done before this process began.
        loop_began: when the first step of this process did, seconds since 1970.
    """

    name: str
    doing: str = "starting"
    step: int = 0
    steps: int | None = None
    first: int = 0
    loop_began: float | None = None

    def begin(self, first: int, steps: int) -> None:
        """Enter that the first step comes now, after so many that were done before."""
        self.first = self.step = first
        self.steps, self.loop_began = steps, time.time()

    def facts(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": "training", **dataclasses.asdict(self)}
