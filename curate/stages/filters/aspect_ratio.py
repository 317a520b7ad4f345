"""Drop pictures that are too long for their width: banners, rules, sprites, scrolls."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.config import RowFilterConfig
from curate.core.stage import RowFilter, Verdicts
from curate.stages.filters._sides import READS, sides, verdicts

ASPECT_RATIO = "aspect_ratio"


class Config(RowFilterConfig):
    """Keep pictures whose longer side is at most ``max`` times the shorter one.

    Attributes:
        max: greatest longer side / shorter side, at least 1. LAION and DataComp use 3.
    """

    max: float = Field(3.0, ge=1.0, allow_inf_nan=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The size of the picture as it came."""
        return READS

    def build(self) -> AspectRatio:
        """Build the filter."""
        return AspectRatio(self)


class AspectRatio(RowFilter):
    """Judges each picture by its original width and height."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __call__(self, rows: pa.Table) -> Verdicts:
        """Return null, ``aspect_ratio`` or ``unknown_size`` per row."""
        shorter, longer = sides(rows)
        reasons = np.full(len(longer), None, dtype=object)
        reasons[longer > shorter * self._config.max] = ASPECT_RATIO
        return verdicts(rows, reasons)
