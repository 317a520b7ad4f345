"""The size of the picture as it came, for filters that judge its shape."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.core.stage import Verdicts

READS = ("original_width", "original_height")
UNKNOWN_SIZE = "unknown_size"


def sides(rows: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (shorter, longer) side per row in pixels; NaN where the size is not known."""
    width, height = (
        np.asarray(rows[name].cast(pa.float64()).to_numpy(), dtype=np.float64) for name in READS
    )
    known = (width >= 1) & (height >= 1)
    return (
        np.where(known, np.minimum(width, height), np.nan),
        np.where(known, np.maximum(width, height), np.nan),
    )


def verdicts(rows: pa.Table, reasons: NDArray[np.object_]) -> Verdicts:
    """Return the verdicts with ``width x height`` as the detail of every row that stops.

    A row whose size is not known stops as ``unknown_size``.
    """
    width, height = (rows[name].to_pylist() for name in READS)
    reasons[np.isnan(sides(rows)[0])] = UNKNOWN_SIZE
    details = [
        None if reason is None else f"{w} x {h} pixels"
        for reason, w, h in zip(reasons, width, height, strict=True)
    ]
    return Verdicts(pa.array(reasons, pa.string()), pa.array(details, pa.string()))
