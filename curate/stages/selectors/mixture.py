"""Keep one text an image, synthetic or from the web in a given proportion.

Source: Li et al. 2024, "What If We Recaption Billions of Web Images with LLaMA-3?" (Recap-DataComp,
arXiv 2406.08478), section 5: CLIP is best with 0.4 to 0.8 synthetic captions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.core.columns import SYNTHETIC
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

NOT_DRAWN = "not_drawn"


class Config(SelectorConfig):
    """Draw for each image whether it keeps a synthetic caption or a web text.

    The draw depends on the image's uid and the seed alone. An image that has only the other kind
    keeps that.

    Attributes:
        synthetic: probability of the synthetic caption, in [0, 1].
        column: score column by which the best text of a kind is taken; None takes the first.
        min: least score of a text that may be kept; None for no lower bound.
        seed: of the draw.
    """

    synthetic: float = Field(0.6, ge=0, le=1)
    column: str | None = Field(None, min_length=1)
    min: float | None = Field(None, allow_inf_nan=False)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _bound_has_a_column(self) -> Config:
        if self.min is not None and self.column is None:
            raise ValueError("min bounds a score: give its column")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The score column, if any."""
        return (self.column,) if self.column else ()

    def build(self) -> Mixture:
        """Build the selector."""
        return Mixture(self)


class Mixture(Selector):
    """Takes one text of each image; texts of people count as the web's."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @property
    def columns(self) -> Sequence[str]:
        """What the draw depends on, and the score column, if any."""
        return ("uid", *self._config.reads)

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``not_drawn``, ``below_min`` or ``not_scored`` per text."""
        config = self._config
        values = np.zeros(texts.num_rows)
        if config.column is not None:
            values = scores(texts, config.column)
        missing = np.isnan(values)
        below = values < (-np.inf if config.min is None else config.min)
        eligible = np.flatnonzero(~(missing | below))
        images = image_numbers(texts)
        other = are_from(texts, SYNTHETIC) != self._wanted(texts["uid"], images)
        order = np.lexsort([eligible, -values[eligible], other[eligible], images[eligible]])
        first = np.diff(images[eligible][order], prepend=-1) != 0
        return reasons(
            texts.num_rows,
            (eligible, NOT_DRAWN),
            (below, BELOW_MIN),
            (missing, NOT_SCORED),
            (eligible[order[first]], None),
        )

    def _wanted(self, uids: pa.ChunkedArray, images: np.ndarray) -> np.ndarray:
        """Return for each text whether its image's draw is a caption; one draw an image."""
        starts = np.flatnonzero(np.diff(images, prepend=-1))
        drawn = [self._wants_synthetic(uid) for uid in uids.take(pa.array(starts)).to_pylist()]
        return np.repeat(np.array(drawn, bool), np.diff([*starts.tolist(), len(images)]))

    def _wants_synthetic(self, uid: str) -> bool:
        digest = hashlib.blake2b(f"mixture|{self._config.seed}|{uid}".encode(), digest_size=8)
        return int.from_bytes(digest.digest(), "big") < self._config.synthetic * 2.0**64

    def summary(self) -> Mapping[str, Any]:
        """Return the settings."""
        return self._config.model_dump(mode="json")
