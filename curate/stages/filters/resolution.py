"""Drop pictures that are too small or too large, by the size they were found with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.core.config import RowFilterConfig
from curate.core.stage import RowFilter, Verdicts
from curate.stages.filters._sides import READS, sides, verdicts

TOO_SMALL, TOO_LARGE = "too_small", "too_large"


class Config(RowFilterConfig):
    """Keep pictures whose original size lies within bounds; resizing does not change the verdict.

    Attributes:
        min_side: least length of the shorter side, pixels.
        max_side: greatest length of the longer side, pixels.
        min_area: least width times height, pixels.
        max_area: greatest width times height, pixels.
    """

    min_side: int | None = Field(None, ge=1)
    max_side: int | None = Field(None, ge=1)
    min_area: int | None = Field(None, ge=1)
    max_area: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _bounds(self) -> Config:
        if (self.min_side, self.max_side, self.min_area, self.max_area) == (None,) * 4:
            raise ValueError(
                "give min_side, max_side, min_area or max_area: without one nothing stops"
            )
        for low, high in (("min_side", "max_side"), ("min_area", "max_area")):
            least, greatest = getattr(self, low), getattr(self, high)
            if least is not None and greatest is not None and least > greatest:
                raise ValueError(
                    f"{low} {least} is above {high} {greatest}: no picture can be kept"
                )
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The size of the picture as it came."""
        return READS

    def build(self) -> Resolution:
        """Build the filter."""
        return Resolution(self)


class Resolution(RowFilter):
    """Judges each picture by its original width and height."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __call__(self, rows: pa.Table) -> Verdicts:
        """Return null, ``too_small``, ``too_large`` or ``unknown_size`` per row."""
        config = self._config
        shorter, longer = sides(rows)
        area = shorter * longer
        reasons = np.full(len(area), None, dtype=object)
        for value, greatest in ((longer, config.max_side), (area, config.max_area)):
            if greatest is not None:
                reasons[value > greatest] = TOO_LARGE
        for value, least in ((shorter, config.min_side), (area, config.min_area)):
            if least is not None:
                reasons[value < least] = TOO_SMALL
        return verdicts(rows, reasons)
