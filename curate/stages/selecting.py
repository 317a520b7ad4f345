"""What selectors share: score columns, sources and images as arrays, and common reasons."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NOT_SCORED = "not_scored"
BELOW_MIN = "below_min"


def scores(texts: pa.Table, column: str) -> np.ndarray:
    """Return a score column as float64, shape [texts]; NaN where not scored."""
    values = pc.cast(texts[column], pa.float64())
    return np.asarray(pc.fill_null(values, float("nan")).to_numpy(), dtype=np.float64)


def are_from(texts: pa.Table, source: str) -> np.ndarray:
    """Return which texts came from a source, bool, shape [texts]."""
    return np.asarray(pc.fill_null(pc.equal(texts["source"], source), False), dtype=bool)


def reasons(count: int, *rules: tuple[np.ndarray, str | None]) -> pa.Array:
    """Return a reason per text, null where none applies.

    Args:
        count: number of texts.
        rules: which texts, as a mask or as numbers, and what is said of them; None selects them
            again. A later rule overrides the earlier ones.
    """
    codes = np.zeros(count, np.int8)
    for code, (which, _) in enumerate(rules, start=1):
        codes[which] = code
    names = pa.array([None, *(reason for _, reason in rules)], pa.string())
    return names.take(pa.array(codes))


def image_numbers(texts: pa.Table) -> np.ndarray:
    """Return for each text a number of its image, int64, shape [texts], in order of rows."""
    partitions, rows = (
        np.asarray(texts[name].to_numpy(), np.int64) for name in ("partition", "row")
    )
    return np.asarray(partitions << 32 | rows)
