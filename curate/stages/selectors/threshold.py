"""Keep the texts whose score lies between two bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.core.config import SelectorConfig
from curate.core.stage import Selector
from curate.stages.selecting import BELOW_MIN, NOT_SCORED, reasons, scores

ABOVE = "above_max"


class Config(SelectorConfig):
    """Keep every text, whatever its source, whose score lies in [min, max].

    Attributes:
        column: the score column, e.g. ``filter_itc``.
        min: least score that is kept; None for no lower bound.
        max: greatest score that is kept; None for no upper bound. (The very highest ITC scores
            are often pictures of their own text.)
    """

    column: str = Field(min_length=1)
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounds(self) -> Config:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both: without a bound nothing is selected out")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: no text can be kept")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The score column."""
        return (self.column,)

    def build(self) -> Threshold:
        """Build the selector."""
        return Threshold(self)


class Threshold(Selector):
    """Judges each text by its own score."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def columns(self) -> Sequence[str]:
        """The score column."""
        return (self._config.column,)

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``below_min``, ``above_max`` or ``not_scored`` per text."""
        values = scores(texts, self._config.column)
        least, greatest = self._config.min, self._config.max
        return reasons(
            len(values),
            (values < (-np.inf if least is None else least), BELOW_MIN),
            (values > (np.inf if greatest is None else greatest), ABOVE),
            (np.isnan(values), NOT_SCORED),
        )

    def summary(self) -> Mapping[str, Any]:
        """Return the column and its bounds."""
        return self._config.model_dump(mode="json")
