"""Which pairs a report shows: drawn by a hash of their uid, so that the same run shows the same.

Only keys are kept while the table is walked; texts and pictures are read for those that are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.inspection.gallery import read_pictures
from curate.inspection.report_cuts import Decided
from curate.inspection.report_tally import floats, sources_of

#: Pictures of each kind that are shown.
EACH = 20
#: Rows of the ledger that are shown of each stage and reason, and in all.
_STOPPED_EACH, _STOPPED = 2, 100

Key = tuple[int, int]
#: What a candidate is ranked by, then its partition and row.
Candidate = tuple[float, int, int, int]


@dataclass(frozen=True)
class Pair:
    """A picture with all its texts.

    Attributes:
        where: its address or path; "" where it has none.
        image: encoded; None where the run has no pictures.
        texts: rows of the flat view, with ``rejected`` where there is a selection.
    """

    where: str
    image: bytes | None
    texts: Sequence[Mapping[str, Any]]


class PairPicker:
    """Picks while the table is walked.

    Attributes:
        groups: candidates by kind: ``kept``, ``dropped``, ``above`` and ``below`` the threshold
            with a selection, ``any`` without.
    """

    def __init__(self, decided: Decided) -> None:
        self._decided = decided
        self.groups: dict[str, list[Candidate]] = {}

    def add(self, texts: pa.Table, rejected: pa.ChunkedArray | None) -> None:
        """Look at a partition.

        Args:
            texts: its flat view.
            rejected: a selection's reasons, null where selected; None without a selection.
        """
        if not texts.num_rows:
            return
        rows, first, of = np.unique(texts["row"].to_numpy(), return_index=True, return_inverse=True)
        uids = texts["uid"].take(pa.array(first)).to_pylist()
        hashes = np.array([crc32(uid.encode()) for uid in uids], np.int64)
        number = int(texts["partition"][0].as_py())
        if rejected is None:
            self._offer("any", np.zeros(len(rows)), hashes, number, rows, EACH)
            return
        selected = pc.is_null(rejected).to_numpy().astype(bool)
        kept = np.bincount(of, weights=selected, minlength=len(rows)) > 0
        for name, mine in (("kept", kept), ("dropped", ~kept)):
            ranks = np.where(mine, 0.0, np.nan)
            self._offer(name, ranks, hashes, number, rows, 2 * EACH)  # some may be borderline
        self._offer_borderline(texts, selected, (hashes, number, rows, of))

    def chosen(self) -> dict[str, list[Key]]:
        """Return the keys to show by kind; no picture is shown twice."""
        if "any" in self.groups:
            return {"any": _keys(self.groups["any"])}
        half = EACH // 2
        borderline = [
            *_keys(self.groups.get("above", []))[:half],
            *_keys(self.groups.get("below", []))[:half],
        ]
        shown = set(borderline)
        found = {"borderline": list(dict.fromkeys(borderline))}
        for name in ("kept", "dropped"):
            keys = _keys(self.groups.get(name, []))
            found[name] = [key for key in keys if key not in shown][:EACH]
        return found

    def _offer_borderline(
        self,
        texts: pa.Table,
        selected: NDArray[np.bool_],
        where: tuple[NDArray[np.int64], int, NDArray[np.int32], NDArray[np.int64]],
    ) -> None:
        """Offer the pictures of texts whose score decided, the nearest to it first."""
        column = self._decided.column
        if column is None or column not in texts.column_names or not self._decided.cuts:
            return
        hashes, number, rows, of = where
        scores, sources = floats(texts[column]), sources_of(texts)
        gap = self._decided.distance(scores, sources)
        passes = self._decided.passes(scores, sources)
        unjudged = ~pc.is_null(texts["reason"]).to_numpy().astype(bool)  # stopped before any score
        for name, mine in (("above", selected & passes), ("below", ~selected & ~passes)):
            ranks = np.full(len(rows), np.inf)
            np.fmin.at(ranks, of, np.where(mine & ~unjudged, gap, np.inf))
            ranks[np.isinf(ranks)] = np.nan
            self._offer(name, ranks, hashes, number, rows, EACH // 2)

    def _offer(
        self,
        name: str,
        ranks: NDArray[np.float64],
        hashes: NDArray[np.int64],
        number: int,
        rows: NDArray[np.int32],
        most: int,
    ) -> None:
        """Keep the lowest by rank, then hash, of what was kept before and a partition's rows."""
        order = np.lexsort((rows, hashes, ranks))[:most]  # NaN, which is nobody, comes last
        fresh = [
            (float(ranks[i]), int(hashes[i]), number, int(rows[i]))
            for i in order
            if not np.isnan(ranks[i])
        ]
        self.groups[name] = sorted([*self.groups.get(name, []), *fresh])[:most]


def _keys(candidates: Sequence[Candidate]) -> list[Key]:
    return [(partition, row) for _, _, partition, row in candidates]


def read_pairs(
    table: CommittedTable, selection: Selection | None, keys: Sequence[Key]
) -> dict[Key, Pair]:
    """Read the texts and pictures of rows.

    Args:
        table: a run's.
        selection: adds ``rejected`` to each text.
        keys: partition and row of each.
    """
    pictures = read_pictures(table, keys)
    texts: dict[Key, list[dict[str, Any]]] = {key: [] for key in keys}
    for number in sorted({partition for partition, _ in keys}):
        part = table.texts(number)
        if selection is not None:
            part = part.append_column("rejected", selection.decisions(number)["rejected"])
        own = pa.array([row for partition, row in keys if partition == number], pa.int32())
        for text in part.filter(pc.is_in(part["row"], value_set=own)).to_pylist():
            texts[text["partition"], text["row"]].append(text)
    return {
        key: Pair(
            where=str(pictures[key].get("url") or pictures[key].get("path") or ""),
            image=pictures[key].get("image"),
            texts=texts[key],
        )
        for key in keys
    }


class StoppedPicker:
    """Picks entries of the ledger, a few of each stage and reason."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[tuple[int, int, int, dict[str, Any]]]] = {}

    def add(self, entries: pa.Table) -> None:
        """Look at entries of one partition and step."""
        pairs = entries.select(["stage", "reason"]).group_by(["stage", "reason"]).aggregate([])
        for pair in pairs.to_pylist():
            mine = entries.filter(
                pc.and_(
                    pc.equal(entries["stage"], pair["stage"]),
                    pc.equal(entries["reason"], pair["reason"]),
                )
            )
            self._offer((pair["stage"], pair["reason"]), mine)

    def chosen(self) -> list[dict[str, Any]]:
        """Return entries as plain values, by stage and reason."""
        listed = [one[-1] for key in sorted(self._found) for one in self._found[key]]
        return listed[:_STOPPED]

    def _offer(self, key: tuple[str, str], entries: pa.Table) -> None:
        keys = zip(
            *(entries[name].to_pylist() for name in ("partition", "row", "uid")), strict=True
        )
        ranked = sorted(
            (crc32((uid or f"{number}-{row}").encode()), number, row, place)
            for place, (number, row, uid) in enumerate(keys)
        )[:_STOPPED_EACH]
        fresh = [(*one[:3], entries.slice(one[3], 1).to_pylist()[0]) for one in ranked]
        found = [*self._found.get(key, []), *fresh]
        self._found[key] = sorted(found, key=lambda one: one[:3])[:_STOPPED_EACH]
