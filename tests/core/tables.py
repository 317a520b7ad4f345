"""Committed tables made in a moment, for tests of whatever reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curate.core import columns
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.location import StorePath
from curate.core.partition import Partition
from curate.core.plan import Node
from curate.core.stage import SourceFile
from curate.core.store import Receipt, RunStore, Work
from curate.core.table import CommittedTable

SCORE = columns.score("x_itm")


@dataclass(frozen=True)
class Text:
    """A text with its score, where it came from, and what was said of it before."""

    text: str = "a text"
    score: float | None = 0.5
    source: str = "web"
    reason: str | None = None


@dataclass(frozen=True)
class Row:
    """A row with its texts; its number need not be its place."""

    texts: Sequence[Text] = ()
    number: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def commit_table(
    root: StorePath,
    partitions: Sequence[Sequence[Row]],
    *,
    fingerprint: str = "one",
    extra: Sequence[pa.Field] = (),
    first: int = 0,
    facts: Mapping[str, Any] | None = None,
) -> CommittedTable:
    """Commit a one-step run of these partitions and open it.

    Args:
        root: the run's folder.
        partitions: rows of each.
        fingerprint: identity of the step.
        extra: further columns, filled from each row's ``extra``.
        first: number of the first partition; those before it are there already.
        facts: what else the plan says.
    """
    schema = pa.schema([columns.UID, *extra, *columns.TEXT_FIELDS, SCORE])
    node = Node(f"passes/0/leg-0-{fingerprint}", fingerprint, ("source",), schema)
    store = RunStore(root)
    keys = [columns.PARTITION, columns.ROW]
    store.write_plan([node], pa.schema([*keys, *schema]), {"name": "table", **(facts or {})})
    for number, rows in enumerate(partitions, start=first):
        table = _table(number, rows, pa.schema([*keys, *schema]))
        partition = Partition(number, SourceFile("f", len(rows), "", ""), 0, len(rows))
        texts = sum(len(row.texts) for row in rows)
        receipt = Receipt(number, len(rows), len(rows), {}, texts=texts)
        store.commit(node, partition, Work(table, LEDGER_SCHEMA.empty_table()), receipt)
    return CommittedTable.open(root)


def _table(number: int, rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    entries = []
    for place, row in enumerate(rows):
        values = {
            "partition": number,
            "row": place if row.number is None else row.number,
            "uid": f"{number}-{place}",
            "texts": [text.text for text in row.texts],
            "text_sources": [text.source for text in row.texts],
            "text_models": [None for _ in row.texts],
            "text_reasons": [text.reason for text in row.texts],
            "x_itm": [text.score for text in row.texts],
        }
        entries.append({**values, **row.extra})
    return pa.Table.from_pylist(entries, schema=schema)
