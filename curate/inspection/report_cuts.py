"""What a selection was decided on: its score column and the thresholds that a chart can draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.core.columns import SYNTHETIC, WEB

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold.

    Attributes:
        value: on the score's own scale.
        bound: ``least``: texts are kept from it on; ``most``: up to it.
        source: whose texts it judges; None: all.
    """

    value: float
    bound: Literal["least", "most"] = "least"
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The score that a selection looked at.

    Attributes:
        column: None where it looked at none.
        cuts: empty where it has no fixed threshold (the best k of an image, say).
    """

    column: str | None = None
    cuts: tuple[Cut, ...] = ()

    def distance(self, scores: Floats, sources: NDArray[np.object_]) -> Floats:
        """Return how far each text is from the nearest threshold that judges it; NaN: none does."""
        nearest = np.full(len(scores), np.inf)
        for cut in self.cuts:
            mine = np.full(len(scores), True) if cut.source is None else sources == cut.source
            gap = np.where(mine, np.abs(scores - cut.value), np.inf)
            nearest = np.fmin(nearest, gap)
        return np.where(np.isfinite(scores) & np.isfinite(nearest), nearest, np.nan)

    def passes(self, scores: Floats, sources: NDArray[np.object_]) -> Bools:
        """Return which texts are on the kept side of every threshold that judges them."""
        inside = np.isfinite(scores)
        for cut in self.cuts:
            good = scores >= cut.value if cut.bound == "least" else scores <= cut.value
            inside &= good if cut.source is None else good | (sources != cut.source)
        return inside


def decided_on(facts: Mapping[str, Any]) -> Decided:
    """Read a selection's facts: what its selector was set to, and what it found.

    Args:
        facts: with ``settings`` and ``summary``, as ``Selection.facts``.
    """
    said = {**facts["settings"], **facts["summary"]}
    column = said.get("column") or said.get("itm")
    if not isinstance(column, str):
        return Decided()
    apart = _number(said.get("synthetic_min"))
    cuts = []
    for name in ("threshold", "min", "cut"):
        value = _number(said.get(name))
        if value is not None:
            cuts.append(Cut(value, "least", None if apart is None else WEB))
    if apart is not None:
        cuts.append(Cut(apart, "least", SYNTHETIC))
    most = _number(said.get("max"))
    if most is not None:
        cuts.append(Cut(most, "most"))
    return Decided(column, tuple(cuts))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
