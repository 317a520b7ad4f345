"""Two selections of a run side by side: what both keep, what one keeps, why, at which scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.selection import Selection
from curate.core.table import CommittedTable

#: Sides, by whether the first and the second selection keep a text.
SIDES = {(True, True): "both", (True, False): "first", (False, True): "second"}
SIDES[False, False] = "neither"
CHANGED = ("first", "second")
#: Scores that quantiles are taken of; of more, so many are drawn.
MOST_SCORES = 200_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class ScoreOnSide:
    """How a score is distributed over the texts of a side.

    Attributes:
        texts: on that side.
        scored: of these, with a number.
        quantiles: at 5, 25, 50, 75 and 95%; of up to 200,000 drawn scores. Empty without scores.
    """

    texts: int
    scored: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ChangedPair:
    """A text that one selection keeps and the other rejects.

    Attributes:
        side: ``first`` or ``second``: who keeps it.
        reason: why the other does not.
        uid: the image's.
        url: its address or path, if it has one.
        source: where the text came from.
        text: the text.
        scores: by column; None where not scored.
    """

    side: str
    reason: str
    uid: str
    url: str | None
    source: str
    text: str
    scores: Mapping[str, float | None]


@dataclass
class SelectionDiff:
    """What two selections of one table share and do not.

    Attributes:
        first: name of the first.
        second: name of the second.
        counts: texts by side (``both``, ``first`` alone, ``second`` alone, ``neither``) and source.
        rows: images with a kept text: in both selections, in the first alone, in the second alone.
        reasons: of the texts that one keeps alone, the other's reasons.
        scores: by score column and side.
        samples: some pairs that change sides.
    """

    first: str
    second: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    scores: dict[str, dict[str, ScoreOnSide]] = field(default_factory=dict)
    samples: list[ChangedPair] = field(default_factory=list)

    def on_side(self, side: str) -> int:
        """Return how many texts are on a side."""
        return sum(self.counts[side].values())

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare_selections(
    table: CommittedTable, first: Selection, second: Selection, *, samples: int = 5
) -> SelectionDiff:
    """Compare two selections, one partition in memory at a time.

    Args:
        table: the run's table.
        first: one of its selections.
        second: another.
        samples: pairs shown of each of the two sides that differ; drawn, the same each time.

    Raises:
        StoreError: one of them was decided on an earlier table.
    """
    first.check(table)
    second.check(table)
    tally = _Tally(table, first, second, samples)
    for number, texts in zip(
        table.partitions, table.each_texts(flat=["source", *table.score_names]), strict=True
    ):
        tally.add(number, texts)
    return tally.finished()


class _Drawn:
    """Keeps some of what passes, drawn without knowing how much will come: the lowest lots."""

    def __init__(self, most: int, width: int) -> None:
        self._most = most
        self._bound = np.inf  # lots from here on are not among the lowest
        self._parts = [(np.zeros(0), np.zeros((0, width)))]
        self._held = 0

    def add(self, lots: np.ndarray, values: np.ndarray) -> None:
        low = lots < self._bound
        self._parts.append((lots[low], values[low]))
        self._held += int(low.sum())
        if self._held > 2 * self._most:  # not each time: a cut looks at all that is held
            self._cut()

    def values(self) -> np.ndarray:
        """Return what was drawn, [N, width]."""
        self._cut()
        return self._parts[0][1]

    def _cut(self) -> None:
        lots, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if len(lots) > self._most:
            chosen = np.argpartition(lots, self._most)[: self._most]
            lots, values = lots[chosen], values[chosen]
            self._bound = lots.max(initial=0.0)
        self._parts, self._held = [(lots, values)], len(lots)


class _Tally:
    """Counts over the partitions."""

    def __init__(
        self, table: CommittedTable, first: Selection, second: Selection, samples: int
    ) -> None:
        self._table, self._first, self._second = table, first, second
        self._counts: dict[str, Counter[str]] = {side: Counter() for side in SIDES.values()}
        self._rows: Counter[str] = Counter(dict.fromkeys(("both", *CHANGED), 0))
        self._reasons: dict[str, Counter[str]] = {side: Counter() for side in CHANGED}
        sides = tuple(SIDES.values())
        names = table.score_names
        self._scored = {(name, side): 0 for name in names for side in sides}
        self._scores = {key: _Drawn(MOST_SCORES, 1) for key in self._scored}
        self._samples = {side: _Drawn(samples, 2) for side in CHANGED}

    def add(self, number: int, texts: pa.Table) -> None:
        """Count a partition."""
        decided = [one.decisions(number)["rejected"] for one in (self._first, self._second)]
        kept = [np.asarray(pc.is_null(reasons), dtype=bool) for reasons in decided]
        lots = np.random.default_rng(number).random(texts.num_rows)
        rows = np.asarray(texts["row"])
        with_text = [set(np.unique(rows[keep]).tolist()) for keep in kept]
        self._rows["both"] += len(with_text[0] & with_text[1])
        self._rows["first"] += len(with_text[0] - with_text[1])
        self._rows["second"] += len(with_text[1] - with_text[0])
        for (in_first, in_second), side in SIDES.items():
            mask = (kept[0] == in_first) & (kept[1] == in_second)
            if not mask.any():
                continue
            own = texts.filter(pa.array(mask))
            self._counts[side].update(_counted(own["source"]))
            for name in self._table.score_names:
                self._add_scores(name, side, own[name], lots[mask])
            if side in CHANGED:
                other = decided[1] if side == "first" else decided[0]
                self._reasons[side].update(_counted(other.filter(pa.array(mask))))
                places = np.flatnonzero(mask)
                where = np.stack([np.full(len(places), number), places], axis=1)
                self._samples[side].add(lots[mask], where)

    def _add_scores(self, name: str, side: str, column: pa.ChunkedArray, lots: np.ndarray) -> None:
        there = np.asarray(pc.is_valid(column), dtype=bool)
        self._scored[name, side] += int(there.sum())
        values = np.asarray(column.drop_null(), np.float64)
        self._scores[name, side].add(lots[there], values[:, None])

    def finished(self) -> SelectionDiff:
        """Return what was counted, with the texts of the pairs that were drawn."""
        said = SelectionDiff(self._first.name, self._second.name)
        said.counts = {side: dict(counts) for side, counts in self._counts.items()}
        said.rows = dict(self._rows)
        said.reasons = {side: dict(counts) for side, counts in self._reasons.items()}
        for name in self._table.score_names:
            said.scores[name] = {
                side: self._on_side(name, side, said.on_side(side)) for side in SIDES.values()
            }
        said.samples = [pair for side in CHANGED for pair in self._pairs(side)]
        return said

    def _on_side(self, name: str, side: str, texts: int) -> ScoreOnSide:
        values = self._scores[name, side].values()[:, 0]
        quantiles = np.quantile(values, QUANTILES).tolist() if len(values) else []
        return ScoreOnSide(texts, self._scored[name, side], tuple(quantiles))

    def _pairs(self, side: str) -> list[ChangedPair]:
        """Read the texts of the pairs that were drawn, in source order."""
        other = self._second if side == "first" else self._first
        names = [name for name in ("url", "path") if name in self._table.schema.names][:1]
        found = []
        for number, place in sorted(map(tuple, self._samples[side].values().astype(int).tolist())):
            row = self._table.texts(number, names).slice(place, 1).to_pylist()[0]
            found.append(
                ChangedPair(
                    side=side,
                    reason=other.decisions(number)["rejected"][place].as_py(),
                    uid=row["uid"],
                    url=row[names[0]] if names else None,
                    source=row["source"],
                    text=row["text"],
                    scores={name: row[name] for name in self._table.score_names},
                )
            )
        return found


def _counted(values: pa.ChunkedArray) -> Counter[str]:
    return Counter(
        {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
    )
