"""Pictures of a partition that could not be used, and whose fault that was."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from curate.images import ImageFault

#: Reason of a row that holds no picture.
NO_IMAGE = "no_image"
#: Reason of a picture on which the model raises.
MODEL_FAILED = "model_failed"
#: Reason of a picture for which the model's numbers are NaN or infinite.
NOT_FINITE = "not_finite"

#: Most characters of an error that the ledger keeps.
_DETAIL = 300


@dataclass
class Faults:
    """Pictures that could not be used, by their place in the partition.

    Attributes:
        by_place: what is wrong with each.
        num_failed: of these the ones that decoded well and on which the model failed.
        first_error: the first thing that the model raised, in the order of the calls.
    """

    by_place: dict[int, ImageFault] = field(default_factory=dict)
    num_failed: int = 0
    first_error: Exception | None = None

    def blame(self, place: int, error: Exception) -> None:
        """Enter a picture on which the model raised."""
        reason = NOT_FINITE if isinstance(error, FloatingPointError) else MODEL_FAILED
        self.by_place[place] = ImageFault(reason, one_line(error))
        self.num_failed += 1
        self.first_error = self.first_error or error

    def columns(self, count: int) -> tuple[pa.Array, pa.Array]:
        """Return reasons and details per row, null for rows to keep."""
        found = [self.by_place.get(place) for place in range(count)]
        reasons = pa.array([fault and fault.reason for fault in found], pa.string())
        return reasons, pa.array([fault and fault.detail for fault in found], pa.string())


def one_line(error: Exception) -> str:
    """Return an error in one line of bounded length."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _DETAIL else text[: _DETAIL - 3] + "..."
