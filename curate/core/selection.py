"""Selections: which texts are kept, decided late, from stored numbers, and kept beside each other.

A selection is one small Parquet file a partition, a row per text: null selects the text, anything
else is the reason it was rejected. Nothing else is written, so another threshold costs no more
than reading the score columns once.

The decisions are in a folder named by what they were made from, ``decisions/ID``; a selection is a
name for one of them, a single file that is written last. So nothing has to be renamed, a selection
that gives its name to another keeps its decisions, and the same selection again finds them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.ahead import in_order
from curate.core.atomic import (
    child_names,
    exists,
    read_json_if_there,
    read_parquet,
    write_json,
    write_parquet,
)
from curate.core.columns import PARTITION, ROW
from curate.core.errors import LawError, StoreError, nearest
from curate.core.failpoints import reach
from curate.core.ledger import check_texts
from curate.core.location import StorePath
from curate.core.partition import part_name
from curate.core.stage import Selector
from curate.core.store import RunStore, same_json
from curate.core.table import CommittedTable

SELECTION_FILE = "selection.json"
#: Decisions that are written at once: each waits for the disk to say that it has them.
_FILES_AT_ONCE = 8
#: A selection's name is its folder's.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DECISION_SCHEMA = pa.schema(
    [
        PARTITION,
        ROW,
        pa.field("text_index", pa.int32(), nullable=False),
        pa.field("rejected", pa.string()),
    ]
)


@dataclass(frozen=True)
class Selection:
    """A finished selection.

    Attributes:
        store: the run's folder.
        name: its name.
        facts: the selector's settings and summary, and the counts: ``rows``, ``rows_kept``,
            ``texts``, ``selected`` (by source) and ``rejected`` (by source and reason);
            ``decisions`` names the folder of the decisions, ``added`` what made those columns
            read that were added to the run (see ``CommittedTable.added_extent``).
    """

    store: RunStore
    name: str
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, root: StorePath, name: str) -> Selection:
        """Open a selection by name.

        Raises:
            StoreError: there is none of that name; the message names the nearest.
        """
        store = RunStore(root)
        facts = read_json_if_there(_file(store, name))
        if facts is None:
            names = list_selections(store)
            raise StoreError(f"no selection {name!r} in {root}: {nearest(name, names)}")
        return cls(store, name, facts)

    @property
    def fingerprint(self) -> str:
        """Identity of the table it was decided on."""
        return str(self.facts["table"])

    @property
    def selected(self) -> int:
        """Number of selected texts."""
        return sum(self.facts["selected"].values())

    def decisions(self, number: int) -> pa.Table:
        """Return a partition's decisions (``DECISION_SCHEMA``), one row a text, order kept.

        Raises:
            StoreError: they are gone, or an earlier version of curate wrote them elsewhere.
        """
        if "decisions" not in self.facts:
            raise StoreError(
                f"selection {self.name!r} of {self.store.root} was written by an earlier version "
                "of curate, which kept its decisions elsewhere: decide it again with "
                f"'curate select'; its settings were {json.dumps(self.facts.get('settings'))}"
            )
        folder = self.store.decisions(str(self.facts["decisions"]))
        return read_parquet(_part(folder, number), remove=folder, columns=DECISION_SCHEMA.names)

    def pairs(
        self, table: CommittedTable, names: Iterable[str] = ()
    ) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Yield, partition by partition, the rows with a selected text and their selected texts.

        Args:
            table: the run's table.
            names: columns of the rows wanted beside keys and uid.

        Yields:
            ``(rows, texts)``: rows with at least one selected text, and the selected texts in the
            flat form of ``CommittedTable.texts``, both in source order.

        Raises:
            StoreError: the selection was decided on another table.
        """
        self.check(table)
        wanted = list(dict.fromkeys(["uid", *names]))
        for number in table.partitions:
            texts = table.texts(number)
            keep = pc.is_null(self.decisions(number)["rejected"])
            texts = texts.filter(keep)
            if texts.num_rows == 0:
                continue
            rows = table.rows(number, wanted)
            yield rows.filter(pc.is_in(rows["row"], pc.unique(texts["row"]))), texts

    def is_of(self, table: CommittedTable) -> bool:
        """Whether it was decided on the table as it is now."""
        extent = {name: self.facts.get(name) for name in table.extent}
        added = self.facts.get("added", {})
        return (
            self.fingerprint == table.fingerprint
            and extent == table.extent
            and added == table.added_extent(added)
        )

    def check(self, table: CommittedTable) -> None:
        """Check that the selection belongs to the table as it is now.

        Raises:
            StoreError: decided on another table, or before it grew.
        """
        if not self.is_of(table):
            raise StoreError(
                f"selection {self.name!r} was decided on an earlier table of {table.store.root}: "
                "run 'curate select' again"
            )


def list_selections(store: RunStore) -> list[str]:
    """Return the names of a run's finished selections."""
    names = [name for name in child_names(store.root / "selections") if NAME.fullmatch(name)]
    return [name for name in names if exists(_file(store, name))]


def select(
    table: CommittedTable, selector: Selector, settings: Mapping[str, Any], *, name: str
) -> tuple[Selection, bool]:
    """Decide every text of a table and write the selection.

    A selection of that name with other settings is kept under ``NAME-<n>``. Where another one rests
    on the same decisions they are taken as they are: made anew they might differ, once rows have
    left the table for good.

    Args:
        table: the finished table.
        selector: decides.
        settings: what identifies the selector; JSON values.
        name: the selection's name.

    Returns:
        The selection, and whether anything had to be done.

    Raises:
        StoreError: the name is none for a folder.
        LawError: texts unaccounted for.
    """
    if not NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is no name for a selection: letters, digits, '.', '_' and '-' are due"
        )
    store = table.store
    reads = table.score_names if selector.columns is None else selector.columns
    decisions = _decisions_name(table, settings, table.added_extent(reads))
    before = read_json_if_there(_file(store, name))
    same = before is not None and before.get("decisions") == decisions
    if before is not None and same and Selection(store, name, before).is_of(table):
        return Selection(store, name, before), False
    facts = _of_others(table, decisions)
    if facts is None:
        counted = _decide_all(table, selector, store.decisions(decisions), name)
        said = {"settings": dict(settings), "summary": dict(selector.summary())}
        of = {"table": table.fingerprint, **table.extent, **table.added_facts(reads)}
        facts = {"decisions": decisions, **said, **of, **counted}
    reach("selection.decided")
    if before is not None and not same:
        _keep(store, name, before)
        reach("selection.moved")
    write_json(_file(store, name), facts)
    reach("selection.placed")
    return Selection.open(store.root, name), True


def _of_others(table: CommittedTable, decisions: str) -> dict[str, Any] | None:
    """Return what a selection of the table as it is now says of such decisions, if there is one."""
    if child_names(table.store.decisions(decisions)):
        for name in list_selections(table.store):
            there = Selection.open(table.store.root, name)
            if there.facts.get("decisions") == decisions and there.is_of(table):
                return dict(there.facts)
    return None


def _decide_all(
    table: CommittedTable, selector: Selector, folder: StorePath, name: str
) -> dict[str, Any]:
    """Write all decisions; returns the counts, checked against those of the table."""
    counts = _write_decisions(table, selector, folder)
    check_texts(
        f"selection {name!r}",
        texts=table.count_texts(),
        selected=sum(counts.selected.values()),
        rejected=counts.rejected_by_reason(),
    )
    return {"rows": table.count_rows(), **counts.facts()}


def _write_decisions(table: CommittedTable, selector: Selector, folder: StorePath) -> _Counts:
    """Decide every text and write a file a partition; those of an unfinished attempt are alike."""
    counts = _Counts()
    flat = None if selector.columns is None else ["source", *selector.columns]

    def write(item: tuple[int, pa.Table]) -> None:
        write_parquet(_part(folder, item[0]), item[1], flush_folder=False)

    with selector.ready():
        selector.prepare(lambda: (_eligible(texts)[0] for texts in table.each_texts(flat=flat)))
        decided = (
            (number, _decide(selector, texts, counts))
            for number, texts in zip(table.partitions, table.each_texts(flat=flat), strict=True)
        )
        # a selector is asked by this thread alone; what waits for the disk does so beside it
        for _ in in_order(write, decided, at_once=_FILES_AT_ONCE):
            pass
    return counts


class _Counts:
    """Counts of one selection, by text source."""

    def __init__(self) -> None:
        self.texts = 0
        self.rows_kept = 0
        self.selected: Counter[str] = Counter()
        self.rejected: dict[str, Counter[str]] = {}

    def add(self, texts: pa.Table, rejected: pa.Array) -> None:
        self.texts += texts.num_rows
        kept = texts["row"].to_numpy()[np.asarray(pc.is_null(rejected))]
        self.rows_kept += len(np.unique(kept))
        found = pa.table({"source": texts["source"], "reason": rejected})
        counted = found.group_by(["source", "reason"], use_threads=False).aggregate(
            [([], "count_all")]
        )
        columns = (counted[name].to_pylist() for name in ("source", "reason", "count_all"))
        for source, reason, count in zip(*columns, strict=True):
            if reason is None:
                self.selected[source] += count
            else:
                self.rejected.setdefault(source, Counter())[reason] += count

    def rejected_by_reason(self) -> dict[str, int]:
        return dict(sum(self.rejected.values(), Counter()))

    def facts(self) -> dict[str, Any]:
        return {
            "texts": self.texts,
            "rows_kept": self.rows_kept,
            "selected": dict(self.selected),
            "rejected": {source: dict(reasons) for source, reasons in self.rejected.items()},
        }


def _eligible(texts: pa.Table) -> tuple[pa.Table, pa.ChunkedArray]:
    mask = pc.is_null(texts["reason"])
    chosen = texts if texts["reason"].null_count == texts.num_rows else texts.filter(mask)
    return chosen.drop_columns(["reason"]), mask


def _decide(selector: Selector, texts: pa.Table, counts: _Counts) -> pa.Table:
    eligible, mask = _eligible(texts)
    said = selector.decide(eligible)
    if len(said) != eligible.num_rows:
        raise LawError(
            f"the selector gave {len(said)} decisions for {eligible.num_rows} texts: "
            "one per text is due"
        )
    said = said.cast(pa.string())
    if isinstance(said, pa.ChunkedArray):
        said = said.combine_chunks()
    reasons = texts["reason"].combine_chunks()
    rejected = pc.replace_with_mask(reasons, mask.combine_chunks(), said)
    counts.add(texts, rejected)
    return pa.Table.from_arrays(
        [texts["partition"], texts["row"], texts["text_index"], rejected], schema=DECISION_SCHEMA
    )


def _file(store: RunStore, name: str) -> StorePath:
    return store.selection(name) / SELECTION_FILE


def _part(folder: StorePath, number: int) -> StorePath:
    return folder / f"{part_name(number)}.parquet"


def _decisions_name(
    table: CommittedTable, settings: Mapping[str, Any], added: Mapping[str, Any]
) -> str:
    """Return a name for the decisions of such a selector on the table as it is now."""
    made_from = [dict(settings), table.fingerprint, table.extent, *([added] if added else [])]
    text = json.dumps(made_from, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _keep(store: RunStore, name: str, facts: Mapping[str, Any]) -> None:
    """Give a selection whose name is taken over the next free number, unless it has one."""
    taken = set(list_selections(store))
    names = (f"{name}-{number}" for number in range(1, len(taken) + 2))
    for kept in names:
        if kept not in taken:
            write_json(_file(store, kept), facts)
            return
        if same_json(read_json_if_there(_file(store, kept)), facts):
            return  # by an attempt that was stopped before the name went over
