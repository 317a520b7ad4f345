"""What every selector shares: reading a score column, and the reason for a text without one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NOT_SCORED = "not_scored"


def scores(texts: pa.Table, column: str) -> np.ndarray:
    """Return a score column as float64, shape [texts]; NaN where not scored."""
    values = pc.cast(texts[column], pa.float64())
    return np.asarray(pc.fill_null(values, float("nan")).to_numpy(), dtype=np.float64)
