"""The figures of a report, gathered in one walk over a run; no picture is read for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.core.atomic import read_bytes, read_json_if_there
from curate.core.columns import WEB
from curate.core.layout import RECIPE_FILE
from curate.core.location import StorePath
from curate.core.selection import Selection, list_selections
from curate.core.table import CommittedTable, flatten_texts
from curate.inspection.report_cuts import Decided, decided_on
from curate.inspection.report_pairs import Key, PairPicker, StoppedPicker
from curate.inspection.report_tally import (
    SIDES,
    Frequent,
    Histogram,
    Tally,
    add_canaries,
    floats,
    hosts_of,
    score_histograms,
    wanted_columns,
)
from curate.inspection.stage_figures import StageFigures, stage_figures

#: Hosts, and languages, that are named.
_NAMED = 20
#: A bootstrap loop's folder holds its record and, under this name, its run.
_LOOP_FILE, _RUN_OF_A_LOOP = "bootstrap.json", "run"
#: A page is handed on; what stands before the host of an address stays here.
_PASSWORD = re.compile(r"://[^\s/@]+@")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Figures:
    """All that a report says in numbers.

    Attributes:
        name: the recipe's.
        fingerprint: of the table.
        rows_in: rows of the source so far.
        stages: in order.
        rows_kept: rows that passed the last stage.
        complete: whether every step has finished.
        set_aside: partitions in quarantine.
        tally: counts over texts and pictures of the table.
        lost_hosts: of the rows that stopped.
        selection: its name; None where there is none.
        selection_facts: as ``Selection.facts``; empty without one.
        selections: names of all of them.
        decided: what the selection looked at.
        rounds: of the bootstrap loop that the run is part of; empty where it is none.
        alarms: of that loop.
        versions: of what decides a run's results.
        recipe: as it was run; "" where it is gone.
        remarks: what a reader should know of these figures.
        canaries_rejected: planted mismatches beyond the selection's thresholds; None where it has
            none.
    """

    name: str
    fingerprint: str
    rows_in: int
    stages: tuple[StageFigures, ...]
    rows_kept: int
    complete: bool
    set_aside: int
    tally: Tally
    lost_hosts: Frequent
    selection: str | None
    selection_facts: Mapping[str, Any]
    selections: tuple[str, ...]
    decided: Decided
    rounds: tuple[Mapping[str, Any], ...]
    alarms: tuple[str, ...]
    versions: Mapping[str, str]
    recipe: str
    remarks: tuple[str, ...]
    canaries_rejected: int | None

    @property
    def rows_dropped(self) -> int:
        """Rows in the ledger."""
        return sum(sum(stage.dropped.values()) for stage in self.stages)

    @property
    def rows_waiting(self) -> int:
        """Rows that are neither kept nor dropped yet."""
        return max(0, self.rows_in - self.rows_dropped - self.rows_kept)

    @property
    def texts(self) -> int:
        """Texts in the table."""
        return sum(self.tally.texts.values())

    @property
    def texts_selected(self) -> int:
        """Texts that the selection holds."""
        return sum(self.selection_facts.get("selected", {}).values())

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        tally = self.tally
        return {
            "name": self.name,
            "table": self.fingerprint,
            "complete": self.complete,
            "rows": {
                "in": self.rows_in,
                "dropped": self.rows_dropped,
                "kept": self.rows_kept,
                "waiting": self.rows_waiting,
            },
            "set_aside": self.set_aside,
            "stages": [
                {
                    "stage": stage.name,
                    "rows_in": stage.rows_in,
                    "dropped": dict(stage.dropped),
                    "seconds": stage.seconds,
                }
                for stage in self.stages
            ],
            "texts": dict(tally.texts),
            "selection": None
            if self.selection is None
            else {"name": self.selection, **self.selection_facts},
            "scores": {name: _plain(one) for name, one in tally.scores.items()},
            "canaries_rejected": self.canaries_rejected,
            "words": {source: counts.tolist() for source, counts in tally.words.items()},
            "sides": {str(side): int(n) for side, n in zip(SIDES, tally.sides, strict=True)},
            "hosts": {
                "count": len(tally.hosts.counts),
                "exact": tally.hosts.exact,
                "top": dict(tally.hosts.ranked()[:_NAMED]),
            },
            "languages": dict(tally.languages.ranked()[:_NAMED]),
            "rounds": [dict(one) for one in self.rounds],
            "alarms": list(self.alarms),
            "versions": dict(self.versions),
            "remarks": list(self.remarks),
        }


def _plain(histogram: Histogram) -> dict[str, Any]:
    return {
        "edges": histogram.edges.tolist(),
        "counts": {name: counts.tolist() for name, counts in histogram.counts.items()},
        "unscored": dict(histogram.unscored),
    }


@dataclass(frozen=True)
class Gathered:
    """Figures, and which pairs and ledger entries to show."""

    figures: Figures
    pairs: dict[str, list[Key]]
    stopped: list[dict[str, Any]]
    selection: Selection | None


def gather(table: CommittedTable, wanted: str | None = None) -> Gathered:
    """Walk over a run once, partition by partition.

    Args:
        table: a run's; it need not be finished.
        wanted: a selection's name; None for ``default``, or else the last by name.

    Raises:
        StoreError: no selection of that name, or it was decided on an earlier table.
    """
    selection, remarks = _selection(table, wanted)
    decided = Decided() if selection is None else decided_on(selection.facts)
    tally, picker = Tally(score_histograms(table)), PairPicker(decided)
    for number in table.partitions:
        rows, texts = _partition(table, number)
        tally.add(rows, texts)
        picker.add(texts, None if selection is None else selection.decisions(number)["rejected"])
    add_canaries(table, tally.scores)
    stopped, lost = StoppedPicker(), Frequent()
    for entries in table.store.ledger(table.nodes):
        stopped.add(entries)
        lost.add(hosts_of(entries["url"]))
    stages, kept, complete = stage_figures(table)
    loop = _loop(table.store.root)
    figures = Figures(
        name=str(table.facts["name"]),
        fingerprint=table.fingerprint,
        rows_in=max(table.store.register().num_rows, stages[0].rows_in if stages else 0),
        stages=stages,
        rows_kept=kept,
        complete=complete,
        set_aside=sum(len(table.store.quarantined(node)) for node in table.nodes if node.is_leg),
        tally=tally,
        lost_hosts=lost,
        selection=None if selection is None else selection.name,
        selection_facts={} if selection is None else selection.facts,
        selections=tuple(list_selections(table.store)),
        decided=decided,
        rounds=tuple(loop.get("rounds", ())),
        alarms=tuple(loop.get("alarms", ())),
        versions=dict(table.facts.get("versions", {})),
        recipe=_recipe(table),
        remarks=tuple(remarks),
        canaries_rejected=_canaries_rejected(table, decided),
    )
    return Gathered(figures, picker.chosen(), stopped.chosen(), selection)


def _partition(table: CommittedTable, number: int) -> tuple[Any, Any]:
    """Read a partition once, for its rows and for its texts."""
    lists = ["texts", "text_sources", "text_models", "text_reasons"]
    names = dict.fromkeys(["uid", *wanted_columns(table), *lists, *table.score_names])
    rows = table.rows(number, names)
    return rows, flatten_texts(rows, table.score_names)


def _selection(table: CommittedTable, wanted: str | None) -> tuple[Selection | None, list[str]]:
    """Return the selection to speak of, and a remark where there is one that cannot be used."""
    root = table.store.root
    if wanted is not None:
        selection = Selection.open(root, wanted)
        selection.check(table)
        return selection, []
    names = list_selections(table.store)
    ranked = sorted(names, key=lambda name: (name == "default", _natural(name)), reverse=True)
    for name in ranked:
        selection = Selection.open(root, name)
        if selection.is_of(table):
            return selection, []
    said = "every selection was decided on an earlier table: 'curate select' decides again"
    return None, [said] if names else []


def _natural(name: str) -> list[tuple[int, str]]:
    """Order ``round-10`` after ``round-9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]


def _loop(root: StorePath) -> Mapping[str, Any]:
    """Return what the bootstrap loop wrote down whose run this is; empty where it is none's."""
    if root.name != _RUN_OF_A_LOOP:
        return {}
    return read_json_if_there(root.parent / _LOOP_FILE) or {}


def _canaries_rejected(table: CommittedTable, decided: Decided) -> int | None:
    """Count the planted mismatches that the thresholds reject, as if they were web texts."""
    if decided.column is None or not decided.cuts:
        return None
    rejected = 0
    for _, part in table.canaries():
        if decided.column in part.column_names:
            scores = floats(part[decided.column])
            scores = scores[np.isfinite(scores)]
            sources = np.full(len(scores), WEB, dtype=object)
            rejected += int((~decided.passes(scores, sources)).sum())
    return rejected


def _recipe(table: CommittedTable) -> str:
    """Return the recipe without the names and passwords of its addresses; "" where it is gone."""
    try:
        text = read_bytes(table.store.root / RECIPE_FILE).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return _PASSWORD.sub("://***@", text)
