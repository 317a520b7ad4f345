"""Takes forgotten rows out of selections; what was decided on all others stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.atomic import child_names, read_parquet, write_json, write_parquet
from curate.core.columns import list_lengths
from curate.core.selection import SELECTION_FILE, Selection, list_selections
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.forgetting.receipts import touches
from curate.forgetting.steps import files_of

#: Stands for the table of a selection that is of none any more.
_NO_TABLE = ""


def new_facts(table: CommittedTable, gone: Mapping[int, set[int]]) -> dict[str, dict[str, Any]]:
    """Return what the run's selections say of themselves without some rows, by name.

    Those that were decided on an earlier table cannot be counted again. Where they decided on
    partitions of the rows they are of no table from now on, lest they are taken for good, with
    their old counts, once an earlier recipe has brought that table back.
    """
    found = {}
    for name in list_selections(table.store):
        selection = Selection.open(table.store.root, name)
        if selection.is_of(table):
            facts = _without(table, selection, gone)
            if facts != dict(selection.facts):
                found[name] = facts
        elif _decided_on(selection, gone):
            found[name] = {**selection.facts, "table": _NO_TABLE}
    return found


def write_selections(
    store: RunStore, facts: Mapping[str, dict[str, Any]], gone: Mapping[int, set[int]]
) -> int:
    """Take rows out of all decisions, and write what selections say of themselves; repeatable."""
    written = 0
    for name in child_names(store.root / "decisions"):
        for number, path in list(files_of(store.decisions(name), set(gone))):
            table = read_parquet(path, remove=path.parent)
            mask = touches(table, gone[number])
            if mask.any():
                write_parquet(path, table.filter(pa.array(~mask)))
                written += 1
    for name, said in facts.items():
        write_json(store.selection(name) / SELECTION_FILE, said)
        written += 1
    return written


def _decided_on(selection: Selection, gone: Mapping[int, set[int]]) -> bool:
    """Whether there are decisions on partitions of some rows."""
    name = selection.facts.get("decisions")  # an earlier version of curate names none
    return name is not None and any(files_of(selection.store.decisions(str(name)), set(gone)))


def _without(
    table: CommittedTable, selection: Selection, gone: Mapping[int, set[int]]
) -> dict[str, Any]:
    facts = dict(selection.facts)
    selected = Counter(facts["selected"])
    rejected = {source: Counter(reasons) for source, reasons in facts["rejected"].items()}
    rows = texts = kept = 0
    for number in set(gone) & set(table.partitions):
        mine = table.rows(number, ["text_sources"])
        mask = np.isin(mine["row"].to_numpy(), list(gone[number]))
        rows += int(mask.sum())
        parents = np.repeat(mask, list_lengths(mine["text_sources"]))
        sources = pc.list_flatten(mine["text_sources"]).filter(pa.array(parents)).to_pylist()
        decided = selection.decisions(number).filter(pa.array(parents))
        texts += decided.num_rows
        reasons = decided["rejected"].to_pylist()
        for source, reason in zip(sources, reasons, strict=True):
            if reason is None:
                selected[source] -= 1
            else:
                rejected[source][reason] -= 1
        whose = zip(decided["row"].to_pylist(), reasons, strict=True)
        kept += len({row for row, reason in whose if reason is None})
    return {
        **facts,
        "rows": facts["rows"] - rows,
        "texts": facts["texts"] - texts,
        "rows_kept": facts["rows_kept"] - kept,
        "selected": {source: count for source, count in selected.items() if count},
        "rejected": {
            source: {reason: count for reason, count in counts.items() if count}
            for source, counts in rejected.items()
            if any(counts.values())
        },
    }
