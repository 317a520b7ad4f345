"""CapFilt's rule: a text stays if the ITM head calls it a match; human texts always stay.

Source: BLIP (arXiv 2201.12086), section 4: texts from the web and synthetic captions are judged
alike and each alone, so an image may keep both, one or none; human-annotated pairs are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.columns import HUMAN
from curate.core.config import SelectorConfig
from curate.core.stage import Selector
from curate.stages.selecting import NOT_SCORED, are_from, reasons, scores

BELOW = "itm_below_threshold"


class Config(SelectorConfig):
    """Keep web and synthetic texts whose ITM probability reaches a threshold, and all human texts.

    Attributes:
        itm: the column of ITM probabilities, e.g. ``filter_itm``.
        threshold: least probability that is kept, in [0, 1]. BLIP's is 0.5; the best one differs
            with the data, so compare with what the canaries say.
    """

    itm: str = Field(min_length=1)
    threshold: float = Field(0.5, ge=0.0, le=1.0)

    @property
    def reads(self) -> tuple[str, ...]:
        """The ITM column."""
        return (self.itm,)

    def build(self) -> CapFilt:
        """Build the selector."""
        return CapFilt(self)


class CapFilt(Selector):
    """Judges each text by its own ITM probability."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def columns(self) -> Sequence[str]:
        """The score column."""
        return (self._config.itm,)

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``itm_below_threshold`` or ``not_scored`` per text."""
        itm = scores(texts, self._config.itm)
        return reasons(
            len(itm),
            (itm < self._config.threshold, BELOW),
            (np.isnan(itm), NOT_SCORED),
            (are_from(texts, HUMAN), None),
        )

    def summary(self) -> Mapping[str, Any]:
        """Return the column and the threshold."""
        return {"column": self._config.itm, "threshold": self._config.threshold}
