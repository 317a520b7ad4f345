"""What commits and totals come to once rows are forgotten; reckoned before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curate.core import columns
from curate.core.atomic import read_parquet_if_there
from curate.core.errors import StoreError
from curate.core.ledger import LEDGER_SCHEMA, count_reasons, count_rows, merge_counts
from curate.core.location import StorePath
from curate.core.store import Receipt, RunStore
from curate.core.tombstones import entries_of
from curate.core.totals import Totals
from curate.forgetting.found import among
from curate.forgetting.steps import Step

Rows = Mapping[int, set[int]]


class Reckoning:
    """New receipts and totals by their files, relative to the run's folder.

    Attributes:
        receipts: commits that change.
        totals: ``done.json`` of the steps that change.
        unknown: folders of earlier recipes' legs of which the number of texts cannot be told.
    """

    def __init__(self, store: RunStore, steps: Sequence[Step], gone: Rows) -> None:
        """Reckon.

        Args:
            store: the run's folder, nothing of it changed yet.
            steps: all steps.
            gone: rows to be forgotten, by partition.
        """
        self._store = store
        self._gone = gone
        first = next((step for step in steps if step.first and step.before is not None), None)
        self._source = first.node.stages[0] if first else "source"
        self._first = first
        self.receipts: dict[str, dict[str, Any]] = {}
        self.totals: dict[str, dict[str, Any]] = {}
        self.unknown: list[str] = []
        for step in steps:
            if step.is_leg:
                self._leg(step)
            elif step.before is not None:
                self._barrier(step)

    @property
    def source(self) -> str:
        """The source's name in the ledger."""
        return self._source

    def _leg(self, step: Step) -> None:
        changes: list[tuple[Receipt, Receipt]] = []
        for number in sorted(self._gone):
            lengths: dict[int, int] | None = None
            superseded: dict[int, Mapping[str, Mapping[str, int]]] = {}
            for old in self._store.receipts(step.node, number):
                if lengths is None:
                    lengths = self._lengths(step, number)
                    superseded = self._superseded(step, number)
                if lengths is None:
                    self.unknown.append(step.node.folder)
                    return
                new = self._receipt(step, old, lengths, superseded.get(old.revision, {}))
                if new != old:
                    path = self._store.commit_file(step.node, number, old.revision)
                    self.receipts[relative(self._store.root, path)] = asdict(new)
                    changes.append((old, new))
        self._change_totals(step, changes)

    def _receipt(
        self,
        step: Step,
        old: Receipt,
        lengths: Mapping[int, int],
        superseded: Mapping[str, Mapping[str, int]],
    ) -> Receipt:
        gone = self._gone[old.partition]
        place = (step.node, old.partition, old.revision)
        out = gone & set(self._rows(self._store.part(*place)))
        ledger = self._ledger(self._store.ledger_part(*place))
        kept = ledger.filter(pa.array(~np.isin(ledger["row"].to_numpy(), list(gone))))
        stopped = ledger.num_rows - kept.num_rows
        canaries = self._canaries(self._store.canary_part(*place), gone)
        rows_in = old.rows_in - len(out) - stopped
        if step.first and old.revision == 0:
            kept = pa.concat_tables([kept, entries_of(old.partition, gone, self._source)])
            rows_in = old.rows_in
        return replace(
            old,
            rows_in=rows_in,
            rows_out=old.rows_out - len(out),
            dropped=count_reasons(kept),
            texts=old.texts - sum(lengths.get(row, 0) for row in out),
            canaries=canaries,
            superseded=_less(old.superseded, superseded),
        )

    def _superseded(self, step: Step, number: int) -> dict[int, Mapping[str, Mapping[str, int]]]:
        """Return, by supplement, the entries of forgotten rows that it has superseded."""
        node, gone = step.node, self._gone[number]
        latest: dict[int, tuple[str, str] | None] = {}
        found: dict[int, Mapping[str, Mapping[str, int]]] = {}
        for revision in range(self._store.supplements(node, number) + 1):
            counts: dict[str, dict[str, int]] = {}
            part = set(self._rows(self._store.part(node, number, revision))) & gone
            ledger = self._ledger(self._store.ledger_part(node, number, revision))
            entries = ledger.filter(among(ledger["row"], gone)).to_pylist()
            now: dict[int, tuple[str, str] | None] = dict.fromkeys(part)
            now |= {entry["row"]: (entry["stage"], entry["reason"]) for entry in entries}
            for row in now:
                had = latest.get(row)
                if had is not None:
                    merge_counts(counts, {had[0]: {had[1]: 1}})
            latest |= now
            found[revision] = counts
        return found

    def _lengths(self, step: Step, number: int) -> dict[int, int] | None:
        """Return the number of texts of the rows that a leg has let pass; None: it is unknown."""
        store = self._store
        if step.before is not None:
            beside = step.node.folder.startswith("added/")
            nodes = step.before if beside else (*step.before, step.node)
            return _by_row(store.read(nodes, number, ["texts"]), "texts")
        part = read_parquet_if_there(store.part(step.node, number), remove=store.root)
        if part is None:
            return {}
        supplements = range(1, store.supplements(step.node, number) + 1)
        parts = [part] + [
            table
            for one in supplements
            if (
                table := read_parquet_if_there(
                    store.part(step.node, number, one), remove=store.root
                )
            )
            is not None
        ]
        rows = pa.concat_tables(parts)
        parallel = next((f.name for f in rows.schema if columns.is_parallel(f)), None)
        if parallel is not None:
            return _by_row(rows, parallel)
        if "image" in rows.column_names and self._first is not None:
            # nothing can have been captioned before there were pictures
            return _by_row(store.read([self._first.node], number, ["texts"]), "texts")
        return None

    def _barrier(self, step: Step) -> None:
        assert step.before is not None
        path = self._store.done_file(step.node)
        totals = Totals.load(path)
        if totals is None:
            return
        last = next(node for node in reversed(step.before) if node.is_leg)
        rows_in, dropped = 0, dict[str, dict[str, int]]()
        for number, gone in self._gone.items():
            if self._store.receipt(last, number) is not None:
                live = self._store.live_rows(step.before, number)
                rows_in += int(np.isin(live, list(gone)).sum())
            ledger = self._ledger(self._store.ledger_part(step.node, number))
            merge_counts(dropped, count_reasons(ledger.filter(among(ledger["row"], gone))))
        stopped = sum(sum(counts.values()) for counts in dropped.values())
        new = replace(
            totals,
            rows_in=totals.rows_in - rows_in,
            rows_out=totals.rows_out - (rows_in - stopped),
            dropped=_less(totals.dropped, dropped),
        )
        if new != totals:
            self.totals[relative(self._store.root, path)] = new.to_json()

    def _change_totals(self, step: Step, changes: Sequence[tuple[Receipt, Receipt]]) -> None:
        path = self._store.done_file(step.node)
        totals = Totals.load(path)
        if totals is None or not changes:
            return
        dropped = _flat(totals.dropped)
        for old, new in changes:
            dropped.subtract(_flat(old.dropped))
            dropped.update(_flat(old.superseded))
            dropped.update(_flat(new.dropped))
            dropped.subtract(_flat(new.superseded))
        new_totals = replace(
            totals,
            rows_in=totals.rows_in + sum(_taken(new) - _taken(old) for old, new in changes),
            rows_out=totals.rows_out + sum(new.rows_out - old.rows_out for old, new in changes),
            dropped=_by_stage(dropped),
            texts=totals.texts + sum(new.texts - old.texts for old, new in changes),
            canaries=totals.canaries + sum(new.canaries - old.canaries for old, new in changes),
        )
        self.totals[relative(self._store.root, path)] = new_totals.to_json()

    # -- files ---------------------------------------------------------------------------------

    def _rows(self, path: StorePath) -> list[int]:
        table = read_parquet_if_there(path, remove=self._store.root, columns=["row"])
        rows: list[int] = [] if table is None else table["row"].to_pylist()
        return rows

    def _ledger(self, path: StorePath) -> pa.Table:
        table = read_parquet_if_there(path, remove=self._store.root)
        return LEDGER_SCHEMA.empty_table() if table is None else table

    def _canaries(self, path: StorePath, gone: set[int]) -> int:
        table = read_parquet_if_there(path, remove=self._store.root, columns=["row", "text_row"])
        if table is None:
            return 0
        return int(table.num_rows - touches(table, gone).sum())


def touches(table: pa.Table, gone: set[int]) -> np.ndarray:
    """Return which rows of a partition's table are of forgotten rows, canaries' texts included."""
    mask = np.isin(table["row"].to_numpy(), list(gone))
    if "text_row" in table.column_names:
        mask |= np.isin(table["text_row"].to_numpy(), list(gone))
    return mask


def relative(root: StorePath, path: StorePath) -> str:
    """Return a path below a run's folder as text with slashes.

    Raises:
        StoreError: it is not below it.
    """
    whole, base = str(path).replace("\\", "/"), str(root).replace("\\", "/").rstrip("/")
    if not whole.startswith(f"{base}/"):
        raise StoreError(f"{path} does not lie in {root}")
    return whole[len(base) + 1 :]


def _taken(receipt: Receipt) -> int:
    """Return the rows of a commit that no earlier one has counted."""
    return receipt.rows_in - count_rows(receipt.superseded)


def _flat(counts: Mapping[str, Mapping[str, int]]) -> Counter[tuple[str, str]]:
    flat: Counter[tuple[str, str]] = Counter()
    for stage, by_reason in counts.items():
        flat.update({(stage, reason): count for reason, count in by_reason.items()})
    return flat


def _by_stage(flat: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (stage, reason), count in flat.items():
        if count:
            found.setdefault(stage, {})[reason] = count
    return found


def _less(counts: Mapping[str, Mapping[str, int]], less: Any) -> dict[str, dict[str, int]]:
    flat = _flat(counts)
    flat.subtract(_flat(less))
    return _by_stage(flat)


def _by_row(rows: pa.Table, name: str) -> dict[int, int]:
    lengths = columns.list_lengths(rows[name]).tolist()
    return dict(zip(rows["row"].to_pylist(), lengths, strict=True))
