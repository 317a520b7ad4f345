"""Totals of a step: the sum of its receipts, and all that a funnel needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from curate.core.atomic import read_json
from curate.core.errors import StoreError
from curate.core.ledger import count_rows, merge_counts, subtract_counts
from curate.core.location import StorePath
from curate.core.notes import merge_notes
from curate.core.plan import Node
from curate.core.store import Receipt, RunStore


@dataclass
class Totals:
    """Sums over the partitions a step has committed.

    Attributes:
        partitions: how many.
        supplements: commits of rows that came after their partition was committed.
        rows_in: rows that entered.
        rows_out: rows that went on.
        dropped: rows in the ledger by stage and reason.
        texts: texts of the rows that went on.
        canaries: planted mismatches scored.
        seconds: worker time by stage.
        notes: the stages' counters.
        bytes_written: size of the committed files.
    """

    partitions: int = 0
    supplements: int = 0
    rows_in: int = 0
    rows_out: int = 0
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    texts: int = 0
    canaries: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    bytes_written: int = 0

    def add(self, receipt: Receipt) -> None:
        """Add one commit; those of a partition in order."""
        self.partitions += receipt.revision == 0
        self.supplements += receipt.revision > 0
        self.rows_in += receipt.rows_in - count_rows(receipt.superseded)
        self.rows_out += receipt.rows_out
        merge_counts(self.dropped, receipt.dropped)
        subtract_counts(self.dropped, receipt.superseded)
        self.texts += receipt.texts
        self.canaries += receipt.canaries
        self.bytes_written += receipt.bytes_written
        merge_notes(self.seconds, receipt.seconds)
        merge_notes(self.notes, receipt.notes)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Totals:
        """Read what ``to_json`` wrote."""
        return cls(**value)

    @classmethod
    def load(cls, path: StorePath) -> Totals | None:
        """Read the totals of a complete step.

        Returns:
            None when there are none, or the file is damaged: it is made again from the commits.
        """
        try:
            value = read_json(path)
            return cls.from_json(value) if value.keys() == _NAMES else None
        except (FileNotFoundError, StoreError, TypeError, AttributeError):
            return None

    @property
    def num_dropped(self) -> int:
        """Rows in the ledger."""
        return count_rows(self.dropped)


_NAMES = {one.name for one in fields(Totals)}


def totals_of(store: RunStore, node: Node) -> tuple[Totals, bool]:
    """Return a step's totals so far, and whether it is complete; works while the run goes on."""
    done = Totals.load(store.done_file(node))
    if done is not None:
        return done, True
    totals = Totals()
    for receipt in store.each_receipt(node, store.commits(node)) if node.is_leg else ():
        totals.add(receipt)
    return totals, False
