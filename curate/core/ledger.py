"""The ledger: every row that stopped, with its stage and reason; and the two laws.

Rows: rows in = rows in the table + rows in the ledger, by (stage, reason).
Texts, for each selection: texts in the table = selected + rejected, by reason.
Both are checked at every commit and at the end; a run that breaks one fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from curate.core import columns
from curate.core.errors import LawError

LEDGER_SCHEMA = pa.schema(
    [
        columns.PARTITION,
        columns.ROW,
        pa.field("uid", pa.string()),
        pa.field("url", pa.string()),
        pa.field("texts", pa.list_(pa.string())),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
#: Columns of a row that its ledger entry keeps, where they exist.
CARRIED = ("uid", "url", "texts")


def split_rows(
    rows: pa.Table, reasons: pa.Array | pa.ChunkedArray, details: pa.Array | None, *, stage: str
) -> tuple[pa.Table, pa.Table]:
    """Part the rows that go on from those that stop.

    Args:
        rows: a partition's rows.
        reasons: string per row, null to keep.
        details: string per row, or None.
        stage: who judged.

    Returns:
        The rows that go on, and ledger entries (``LEDGER_SCHEMA``) for the others, order kept.

    Raises:
        LawError: not one verdict per row.
    """
    if len(reasons) != rows.num_rows or (details is not None and len(details) != rows.num_rows):
        raise LawError(
            f"{stage} gave {len(reasons)} verdicts for {rows.num_rows} rows: one per row is due"
        )
    keep = pc.is_null(reasons)
    if pc.all(keep).as_py() is not False:
        return rows, LEDGER_SCHEMA.empty_table()
    drop = pc.invert(keep)
    return rows.filter(keep), entries(
        rows.filter(drop),
        pc.filter(reasons, drop),
        None if details is None else pc.filter(details, drop),
        stage=stage,
    )


def entries(
    stopped: pa.Table, reasons: pa.Array, details: pa.Array | None, *, stage: str
) -> pa.Table:
    """Return ledger entries for rows that stop at a stage; all reasons are non-null."""
    count = stopped.num_rows
    arrays = []
    for field in LEDGER_SCHEMA:
        if field.name == "stage":
            arrays.append(pa.array([stage] * count, pa.string()))
        elif field.name == "reason":
            arrays.append(reasons)
        elif field.name == "detail":
            arrays.append(pa.nulls(count, pa.string()) if details is None else details)
        elif field.name in stopped.column_names:
            arrays.append(stopped[field.name].cast(field.type))
        else:
            arrays.append(pa.nulls(count, field.type))
    return pa.Table.from_arrays(
        [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays],
        schema=LEDGER_SCHEMA,
    )


def count_reasons(ledger: pa.Table) -> dict[str, dict[str, int]]:
    """Return how many rows stopped, by stage and reason."""
    counts: dict[str, dict[str, int]] = {}
    for stage, reason in zip(
        ledger["stage"].to_pylist(), ledger["reason"].to_pylist(), strict=True
    ):
        by_reason = counts.setdefault(stage, {})
        by_reason[reason] = by_reason.get(reason, 0) + 1
    return counts


def check_rows(
    where: str, *, rows_in: int, rows_out: int, dropped: Mapping[str, Mapping[str, int]]
) -> None:
    """Check the law of rows.

    Raises:
        LawError: rows in are not rows out plus rows in the ledger.
    """
    stopped = count_rows(dropped)
    if rows_in != rows_out + stopped:
        raise LawError(
            f"{where}: {rows_in} rows came in, {rows_out} went on and {stopped} are in the ledger: "
            f"{rows_in - rows_out - stopped:+d} unaccounted for"
        )


def check_texts(where: str, *, texts: int, selected: int, rejected: Mapping[str, int]) -> None:
    """Check the law of texts.

    Raises:
        LawError: texts in the table are not selected plus rejected texts.
    """
    total = selected + sum(rejected.values())
    if texts != total:
        raise LawError(
            f"{where}: {texts} texts in the table, {selected} selected and "
            f"{total - selected} rejected: {texts - total:+d} unaccounted for"
        )


def merge_counts(
    into: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Add counts by stage and reason to others; returns ``into``."""
    for stage, by_reason in more.items():
        into[stage] = dict(Counter(into.get(stage, {})) + Counter(by_reason))
    return into


def subtract_counts(
    into: dict[str, dict[str, int]], less: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Take counts by stage and reason off others; returns ``into``, without what came to 0."""
    for stage, by_reason in less.items():
        left = dict(Counter(into.get(stage, {})) - Counter(by_reason))
        into.pop(stage, None)
        if left:
            into[stage] = left
    return into


def count_rows(dropped: Mapping[str, Mapping[str, int]]) -> int:
    """Return how many rows counts by stage and reason come to."""
    return sum(sum(by_reason.values()) for by_reason in dropped.values())
