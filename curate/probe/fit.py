"""Lines through what chunks of unequal size took: a part for the partition, a part for each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True, slots=True)
class Line:
    """``each + per_row * rows``, neither of them negative.

    Attributes:
        each: of a partition, however few rows it has.
        per_row: of a row.
    """

    each: float
    per_row: float

    def at(self, rows: float) -> float:
        """Return the value for a partition of so many rows."""
        return self.each + self.per_row * rows

    def over(self, partitions: int, rows: int) -> float:
        """Return the sum over partitions that have so many rows together."""
        return self.each * partitions + self.per_row * rows


def line(values: Sequence[float] | np.ndarray, sizes: Sequence[int] | np.ndarray) -> Line:
    """Fit by least squares, each chunk weighing as one over its rows: noise grows with them.

    Args:
        values: by chunk.
        sizes: rows by chunk, all positive.

    Returns:
        The line; through the origin where the best one would begin below it or the chunks are of
        one size; level where it would fall. Zero without chunks.
    """
    y, n = np.asarray(values, np.float64), np.asarray(sizes, np.float64)
    if not len(y):
        return Line(0.0, 0.0)
    # with weights 1/n the normal equations need these sums alone
    sum_w, count, sum_n = (1 / n).sum(), len(n), n.sum()
    sum_wy, sum_y = (y / n).sum(), y.sum()
    spread = sum_w * sum_n - count**2
    if spread <= 1e-9 * sum_w * sum_n:
        return Line(0.0, max(0.0, float(sum_y / sum_n)))
    per_row = (sum_w * sum_y - count * sum_wy) / spread
    each = (sum_wy - per_row * count) / sum_w
    if each < 0:
        return Line(0.0, max(0.0, float(sum_y / sum_n)))
    if per_row < 0:
        return Line(max(0.0, float(sum_wy / sum_w)), 0.0)
    return Line(float(each), float(per_row))


def redrawn(
    values: Sequence[float] | np.ndarray, sizes: np.ndarray, which: np.ndarray | None
) -> np.ndarray:
    """Return what the chunks might as well have shown: the line, with other chunks' departures.

    Args:
        values: by chunk.
        sizes: rows by chunk.
        which: whose departure from the line each chunk takes on; None gives the values back.

    Returns:
        By chunk; a departure grows with the root of the rows, as noise does.
    """
    y = np.asarray(values, np.float64)
    if which is None:
        return y
    root = np.sqrt(sizes)
    fitted = line(y, sizes)
    straight = fitted.each + fitted.per_row * sizes
    moved: np.ndarray = straight + ((y - straight) / root)[which] * root
    moved[moved < 0] = 0.0
    return moved


def student(degrees: int) -> float:
    """Return the 97.5% point of Student's t, by the series of Fisher and Cornish.

    Good to 2% from three degrees on. Source: Abramowitz and Stegun, 26.7.5.
    """
    z, n = NormalDist().inv_cdf(0.975), max(1, degrees)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Return the 95% interval of a share: Wilson 1927. (0, 1) of nothing."""
    if not whole:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share, extra = part / whole, z**2 / whole
    middle = (share + extra / 2) / (1 + extra)
    half = z * (share * (1 - share) / whole + extra / (4 * whole)) ** 0.5 / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)
