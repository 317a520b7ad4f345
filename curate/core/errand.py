"""Errands: rows taken through legs after their partition was committed.

A committed file never changes. A row that is tried again, and what becomes of it further on, is
committed beside the partition's first part as a *supplement* (``part-00000042.r1.parquet``), whose
ledger entries supersede earlier ones by (partition, row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Errand:
    """Why supplements are made.

    Every leg on the way takes the rows that reached it and that it has not seen yet, and the rows
    that it stopped for one of the reasons. A leg makes one supplement of a partition an errand.

    Attributes:
        name: identity; the same errand goes on after a kill.
        reasons: of the ledger, ``REASON`` or ``STAGE:REASON``; rows that stopped with one are
            tried again. Empty: only what is left undone behind an earlier supplement.
    """

    name: str
    reasons: frozenset[str] = frozenset()

    def wants(self, stage: str, reason: str) -> bool:
        """Whether rows that a stage stopped for a reason are tried again."""
        return reason in self.reasons or f"{stage}:{reason}" in self.reasons

    def count(self, dropped: Mapping[str, Mapping[str, int]]) -> int:
        """Return how many rows of such counts are tried again."""
        return sum(
            count
            for stage, by_reason in dropped.items()
            for reason, count in by_reason.items()
            if self.wants(stage, reason)
        )
