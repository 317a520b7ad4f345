"""Where a run's rows went: rows that reached each stage, and that stopped there, by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curate.core.table import CommittedTable
from curate.core.totals import totals_of


@dataclass(frozen=True)
class StageFigures:
    """What a stage did.

    Attributes:
        name: its name in the ledger.
        rows_in: rows that reached it.
        dropped: rows that stopped there, by reason.
        seconds: worker time; None where none was measured (a source, a barrier's verdicts).
    """

    name: str
    rows_in: int
    dropped: Mapping[str, int]
    seconds: float | None


def stage_figures(table: CommittedTable) -> tuple[tuple[StageFigures, ...], int, bool]:
    """Return the stages, the rows that passed the last one, and whether all is done."""
    found: list[StageFigures] = []
    kept, complete = 0, True
    for node in table.nodes:
        totals, done = totals_of(table.store, node)
        rows = totals.rows_in
        others = [name for name in totals.dropped if name not in node.stages]
        for name in (*others, *node.stages):
            dropped = totals.dropped.get(name, {})
            found.append(StageFigures(name, rows, dict(dropped), totals.seconds.get(name)))
            rows -= sum(dropped.values())
        kept, complete = totals.rows_out, complete and done
    return tuple(found), kept, complete
