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


def sources(texts: pa.Table) -> np.ndarray:
    """Return where each text came from, object, shape [texts]; "" where nobody said."""
    return np.asarray(pc.fill_null(texts["source"], "").to_pylist(), dtype=object)


def image_numbers(texts: pa.Table) -> np.ndarray:
    """Return for each text a number of its image, int64, shape [texts], in order of rows."""
    partitions, rows = (
        np.asarray(texts[name].to_numpy(), np.int64) for name in ("partition", "row")
    )
    return np.asarray(partitions << 32 | rows)
