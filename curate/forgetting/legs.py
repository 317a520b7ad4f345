"""Takes forgotten rows out of what the steps of a run have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curate.core.atomic import (
    file_size,
    read_json_if_there,
    read_parquet,
    read_parquet_if_there,
    remove,
    remove_tree,
    write_json,
    write_parquet,
)
from curate.core.failpoints import reach
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.location import StorePath
from curate.core.partition import part_number
from curate.core.store import RunStore
from curate.core.tombstones import entries_of
from curate.forgetting.receipts import touches
from curate.forgetting.steps import KINDS, Step, files_of


def rewrite_steps(
    store: RunStore, steps: Sequence[Step], gone: Mapping[int, set[int]], source: str
) -> int:
    """Take rows out of parts, ledgers, canaries and sketches; returns how many files it wrote.

    Safe to repeat. In the ledger of what reads the source each row has an entry again, which says
    that it was forgotten and nothing else.
    """
    written = 0
    for step in steps:
        for kind in KINDS:
            folder = store.root / step.node.folder / kind
            for number, path in list(files_of(folder, set(gone))):
                written += _rewrite(path, gone[number])
        if step.first:
            for number, rows in gone.items():
                written += _note(store, step, number, rows, source)
        if not step.is_leg and step.before is None:
            remove(store.done_file(step.node))  # of an earlier recipe: counted again by its own
        remove_tree(store.root / step.node.folder / "scratch")
        reach("forget.step")
    return written


def write_commits(
    store: RunStore, receipts: Mapping[str, dict[str, Any]], totals: Mapping[str, Any]
) -> None:
    """Write the commits and totals as they were reckoned, with the sizes that files have now."""
    for name, receipt in receipts.items():
        path = store.root / name
        number, revision = part_number(path)
        stem = f"{path.parent.name}/{path.stem}.parquet"
        folder = path.parent.parent.parent
        sizes = [file_size(folder / kind / stem) or 0 for kind in ("parts", "ledger", "canaries")]
        assert (receipt["partition"], receipt["revision"]) == (number, revision)
        write_json(path, {**receipt, "bytes_written": sum(sizes)})
        reach("forget.commit")
    for name, value in totals.items():
        write_json(store.root / name, value)


def redact_quarantine(store: RunStore, steps: Sequence[Step], words: Sequence[str]) -> int:
    """Take what errors quote of forgotten rows out of the notes on partitions set aside."""
    count = 0
    for step in steps:
        for _, path in files_of(store.root / step.node.folder / "quarantine"):
            facts = read_json_if_there(path) or {}
            said = f"{facts.get('error', '')}{facts.get('traceback', '')}"
            if any(word in said for word in words):
                gone = "(it quoted a row that was forgotten)"
                write_json(path, {**facts, "error": gone, "traceback": ""})
                count += 1
    return count


def _rewrite(path: StorePath, gone: set[int]) -> int:
    table = read_parquet(path, remove=path.parent)
    mask = touches(table, gone)
    if not mask.any():
        return 0
    kept = table.filter(pa.array(~mask))
    if kept.num_rows == 0 and path.parent.parent.name in ("ledger", "canaries"):
        remove(path)
    else:
        write_parquet(path, kept)
    return 1


def _note(store: RunStore, step: Step, number: int, rows: set[int], source: str) -> int:
    """Give each row its entry in the ledger of what reads the source, where that has run."""
    if store.receipt(step.node, number) is None:
        return 0
    path = store.ledger_part(step.node, number)
    there = read_parquet_if_there(path, remove=path.parent)
    table = LEDGER_SCHEMA.empty_table() if there is None else there
    table = table.filter(pa.array(~np.isin(table["row"].to_numpy(), list(rows))))
    both = pa.concat_tables([table, entries_of(number, rows, source)]).sort_by("row")
    write_parquet(path, both)
    return 1
