"""The committed table: what a run has finished, read partition by partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core import columns
from curate.core.added import AddedScore, added_of
from curate.core.ahead import in_order
from curate.core.atomic import exists
from curate.core.columns import list_lengths
from curate.core.errors import StoreError, nearest
from curate.core.location import StorePath
from curate.core.plan import Node
from curate.core.store import RunStore

#: Columns of the flat view, a row per text; the score columns follow.
FLAT_NAMES = ("partition", "row", "uid", "text_index", "text", "source", "model", "reason")
#: Partitions that are read ahead: whole rows from an object store, texts from anywhere.
_AT_ONCE = 4
_FLAT_OF = {
    "texts": "text",
    "text_sources": "source",
    "text_models": "model",
    "text_reasons": "reason",
}


@dataclass(frozen=True)
class CommittedTable:
    """The finished rows of a run.

    Attributes:
        store: the run's folder.
        nodes: its steps, in order.
        schema: columns of the finished table, keys first; those of added scorers last.
        facts: what else ``plan.json`` says (name, versions).
        added: scorers that were added to the finished run.
    """

    store: RunStore
    nodes: Sequence[Node]
    schema: pa.Schema
    facts: dict[str, Any]
    added: Sequence[AddedScore] = ()

    @classmethod
    def open(cls, root: StorePath) -> CommittedTable:
        """Open a run's folder.

        Raises:
            StoreError: the folder holds no run.
        """
        store = RunStore(root)
        return cls.of(store, *store.read_plan())

    @classmethod
    def of(
        cls, store: RunStore, nodes: Sequence[Node], schema: pa.Schema, facts: dict[str, Any]
    ) -> CommittedTable:
        """Return the table of such steps, with the scorers added to them.

        Args:
            store: the run's folder.
            nodes: the steps.
            schema: what they give.
            facts: see the class; they name the added scorers.
        """
        added = added_of(facts)
        fields = [field for one in added for field in one.node.schema or ()]
        return cls(store, nodes, pa.schema([*schema, *fields]), facts, added)

    @property
    def fingerprint(self) -> str:
        """Identity of the table's making: the last step's fingerprint."""
        return self.nodes[-1].fingerprint

    @property
    def score_names(self) -> tuple[str, ...]:
        """Score columns, in order."""
        return tuple(field.name for field in self.schema if columns.is_score(field))

    def added_extent(self, names: Iterable[str]) -> dict[str, list[Any]]:
        """Say what made those of some columns that were added, and how much of them there is.

        The identity of the table (``fingerprint``, ``extent``) leaves added columns out, so that
        they put nothing out of date; what is made from one of them remembers this beside it.

        Returns:
            By column: fingerprint, partitions, supplements. Without columns that are not there.
        """
        wanted = set(names)
        found: dict[str, list[Any]] = {}
        for one in self.added:
            mine = [field.name for field in one.node.schema or () if field.name in wanted]
            if mine:
                commits = self.store.commits(one.node)
                extent = [one.node.fingerprint, len(commits), sum(commits.values())]
                found.update(dict.fromkeys(mine, extent))
        return found

    def added_facts(self, names: Iterable[str]) -> dict[str, Any]:
        """Return ``added_extent`` as an entry beside the table's fingerprint, none where empty."""
        extent = self.added_extent(names)
        return {"added": extent} if extent else {}

    def canaries(self) -> Iterator[tuple[Node, pa.Table]]:
        """Yield the scores of planted mismatches, with the leg that scored them."""
        yield from self.store.canaries([*self.nodes, *(one.node for one in self.added)])

    @cached_property
    def commits(self) -> dict[int, int]:
        """Finished partitions, each with how many supplements it has."""
        last = next(node for node in reversed(self.nodes) if node.is_leg)
        tail = self.nodes[-1]
        if not tail.is_leg and not exists(self.store.done_file(tail)):
            return {}
        return self.store.commits(last)

    @property
    def extent(self) -> dict[str, int]:
        """How much of the table there is: it grows by partitions and by supplements of them."""
        return {"partitions": len(self.commits), "supplements": sum(self.commits.values())}

    @cached_property
    def partitions(self) -> tuple[int, ...]:
        """Numbers of the finished partitions, ascending.

        A partition is finished when its last leg has committed it; with a barrier at the end,
        when the barrier is resolved.
        """
        return tuple(sorted(self.commits))

    def rows(self, number: int, names: Iterable[str] | None = None) -> pa.Table:
        """Read a partition's finished rows, keys first.

        Raises:
            StoreError: a name that is no column, with the nearest.
        """
        wanted = list(self.schema.names if names is None else names)
        self.check_names(wanted)
        return self.store.read(self.nodes, number, wanted, [one.node for one in self.added])

    def check_names(self, names: Iterable[str]) -> None:
        """Check that columns exist.

        Raises:
            StoreError: a name that is no column, with the nearest.
        """
        for name in names:
            if name not in self.schema.names:
                raise StoreError(
                    f"no column {name!r} in {self.store.root}: {nearest(name, self.schema.names)}"
                )

    def texts(
        self, number: int, names: Sequence[str] = (), *, flat: Sequence[str] | None = None
    ) -> pa.Table:
        """Read a partition's texts, one row a text: ``FLAT_NAMES``, scores, and more columns.

        Args:
            number: the partition.
            names: row columns to repeat beside each text (``url``, say).
            flat: of ``FLAT_NAMES`` and the scores, those wanted; None for all. Partition, row,
                text_index and reason come in any case.
        """
        wanted = {*FLAT_NAMES, *self.score_names} if flat is None else {*flat, "reason"}
        scores = [name for name in self.score_names if name in wanted]
        lists = [name for name, said in _FLAT_OF.items() if said in wanted]
        uid = ["uid"] if "uid" in wanted else []
        rows = self.rows(number, [*uid, *names, *lists, *scores])
        return flatten_texts(rows, scores, names)

    def count_texts(self) -> int:
        """Return how many texts the table holds, from the receipts of what was committed.

        A count of its own: whoever walks the texts can be checked against it.
        """
        return self._counts[1]

    def count_rows(self) -> int:
        """Return how many rows the table holds, from the receipts."""
        return self._counts[0]

    @cached_property
    def _counts(self) -> tuple[int, int]:
        """Rows and texts."""
        last = self.nodes[-1]
        if last.is_leg:
            receipts = self.store.each_receipt(last, self.commits)
            found = [(receipt.rows_out, receipt.texts) for receipt in receipts]
        else:  # a barrier thins out rows after the last receipt
            found = [
                (rows.num_rows, int(list_lengths(rows["texts"]).sum()))
                for rows in self.each_rows(["texts"])
            ]
        return sum(rows for rows, _ in found), sum(texts for _, texts in found)

    def num_rows(self) -> dict[int, int]:
        """Return the number of finished rows of each partition, in order of their numbers."""
        counts = in_order(
            lambda number: self.store.live_rows(self.nodes, number).size,
            self.partitions,
            at_once=self._at_once,
        )
        return dict(zip(self.partitions, counts, strict=True))

    def each_rows(self, names: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """Yield the finished rows, partition by partition."""
        wanted = None if names is None else list(names)
        yield from in_order(
            lambda number: self.rows(number, wanted), self.partitions, at_once=self._at_once
        )

    def each_texts(
        self, names: Sequence[str] = (), *, flat: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the texts, partition by partition; see ``texts``."""
        yield from in_order(
            lambda number: self.texts(number, names, flat=flat), self.partitions, at_once=_AT_ONCE
        )

    @property
    def _at_once(self) -> int:
        """Partitions read at once: a disk is quick to answer, an object store is not."""
        return 1 if isinstance(self.store.root, Path) else _AT_ONCE


def flatten_texts(rows: pa.Table, scores: Sequence[str], names: Sequence[str] = ()) -> pa.Table:
    """Return one row per text of a partition's rows.

    Args:
        rows: with keys, ``text_reasons``, the given columns, and of uid and the other text columns
            those wanted.
        scores: columns parallel to ``texts``, flattened to plain float32.
        names: row columns to repeat beside each text.

    Returns:
        ``FLAT_NAMES``, as far as they are among the rows, then scores, then ``names``.
    """
    lengths = columns.list_lengths(rows["text_reasons"])
    parent = pa.array(np.repeat(np.arange(len(lengths)), lengths))
    starts = np.repeat(np.concatenate([[0], np.cumsum(lengths)])[:-1], lengths)
    keys = [name for name in ("partition", "row", "uid") if name in rows.column_names]
    out: dict[str, Any] = {name: rows[name].take(parent) for name in keys}
    out["text_index"] = pa.array((np.arange(len(parent)) - starts).astype(np.int32))
    for name, flat in _FLAT_OF.items():
        if name in rows.column_names:
            out[flat] = pc.list_flatten(rows[name])
    for name in scores:
        out[name] = pc.list_flatten(rows[name])
    for name in names:
        out[name] = rows[name].take(parent)
    return pa.table(out)
