"""Keep the best texts of each image, as BLIP-2 keeps the two best captions (arXiv 2301.12597)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.config import SelectorConfig
from curate.core.stage import Selector
from curate.stages.selecting import BELOW_MIN, NOT_SCORED, image_numbers, reasons, scores

NOT_AMONG_BEST = "not_among_best"


class Config(SelectorConfig):
    """Keep the k texts of an image that score highest, whatever their source.

    Attributes:
        column: the score column, higher is better.
        k: texts an image, at most. Of equal scores the earlier text is taken.
        min: least score that is kept; None for no lower bound.
    """

    column: str = Field(min_length=1)
    k: int = Field(2, ge=1, le=64)
    min: float | None = Field(None, allow_inf_nan=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The score column."""
        return (self.column,)

    def build(self) -> BestK:
        """Build the selector."""
        return BestK(self)


class BestK(Selector):
    """Ranks the texts of each image."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def columns(self) -> Sequence[str]:
        """The score column."""
        return (self._config.column,)

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``not_among_best``, ``below_min`` or ``not_scored`` per text."""
        values = scores(texts, self._config.column)
        images = image_numbers(texts)
        order = np.lexsort([np.arange(len(values)), -values, images])  # NaN comes last
        starts = np.flatnonzero(np.diff(images[order], prepend=-1))
        rank = np.empty(len(values), np.int64)
        rank[order] = np.arange(len(values)) - np.repeat(
            starts, np.diff([*starts.tolist(), len(values)])
        )
        least = -np.inf if self._config.min is None else self._config.min
        return reasons(
            len(values),
            (rank >= self._config.k, NOT_AMONG_BEST),
            (values < least, BELOW_MIN),
            (np.isnan(values), NOT_SCORED),
        )

    def summary(self) -> Mapping[str, Any]:
        """Return the settings."""
        return self._config.model_dump(mode="json")
