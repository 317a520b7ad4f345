"""Keep the web text where it passes, and a synthetic caption only where it does not.

Source: Nguyen et al. 2023, "Improving Multimodal Datasets with Image Captioning" (arXiv
2307.10350), section 5: captions replace the web texts that fail, which keeps the diversity of
those that do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.columns import HUMAN, SYNTHETIC
from curate.core.config import SelectorConfig
from curate.core.stage import Selector
from curate.stages.selecting import (
    BELOW_MIN,
    NOT_SCORED,
    are_from,
    image_numbers,
    reasons,
    scores,
)

WEB_TEXT_KEPT = "web_text_kept"


class Config(SelectorConfig):
    """Judge web texts first; captions stand in for those that fail.

    Attributes:
        column: the score column, higher is better.
        min: least score of a web text that is kept.
        synthetic_min: least score of a synthetic caption that stands in; None takes ``min``.
    """

    column: str = Field(min_length=1)
    min: float = Field(allow_inf_nan=False)
    synthetic_min: float | None = Field(None, allow_inf_nan=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The score column."""
        return (self.column,)

    def build(self) -> Rescue:
        """Build the selector."""
        return Rescue(self)


class Rescue(Selector):
    """Looks at the texts of an image together; texts of people (``human``) are always kept."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def columns(self) -> Sequence[str]:
        """The score column."""
        return (self._config.column,)

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``web_text_kept``, ``below_min`` or ``not_scored`` per text."""
        config = self._config
        values = scores(texts, config.column)
        synthetic, human = are_from(texts, SYNTHETIC), are_from(texts, HUMAN)
        bar = config.min if config.synthetic_min is None else config.synthetic_min
        below = values < np.where(synthetic, bar, config.min)
        images = image_numbers(texts)
        passed = human | ~(below | np.isnan(values))
        has_web = np.unique(images[~synthetic & passed])
        return reasons(
            len(values),
            (below, BELOW_MIN),
            (np.isnan(values), NOT_SCORED),
            (human, None),
            (synthetic & np.isin(images, has_web), WEB_TEXT_KEPT),
        )

    def summary(self) -> Mapping[str, Any]:
        """Return the settings."""
        return self._config.model_dump(mode="json")
