"""Counts over a run's texts and pictures, taken partition by partition in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.core.table import CommittedTable

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

NUM_BINS = 40
#: Words a text, counted one by one up to here; longer texts share the last bin.
MOST_WORDS = 60
#: Lower edges of the bins of pictures' shorter sides, pixels.
SIDES = (0, 64, 128, 192, 256, 384, 512, 768, 1024, 2048)
#: The name under which a histogram counts planted mismatches.
CANARY = "canary"
#: Names counted before the rarest are given up: memory stays bounded over any number of hosts.
_MOST_NAMES = 100_000


@dataclass(frozen=True)
class Histogram:
    """Scores counted between edges, by where the texts came from.

    Attributes:
        edges: ascending, one more than there are bins.
        counts: by source; ``CANARY`` for planted mismatches. Scores beyond the outer edges are
            in the outer bins.
        unscored: texts without a number, by source.
    """

    edges: Floats
    counts: dict[str, Counts] = field(default_factory=dict)
    unscored: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, scores: Floats) -> None:
        """Count scores; NaN and infinities count as unscored."""
        known = scores[np.isfinite(scores)]
        places = np.searchsorted(self.edges, known, side="right") - 1
        places = np.clip(places, 0, len(self.edges) - 2)
        found = np.bincount(places, minlength=len(self.edges) - 1)
        self.counts[name] = self.counts.get(name, np.zeros_like(found)) + found
        self.unscored[name] += len(scores) - len(known)


@dataclass
class Frequent:
    """How often names occur.

    Attributes:
        counts: by name.
        exact: whether every name was counted from its first time on; otherwise the rarest were
            given up now and then, and what came later was counted anew.
    """

    counts: Counter[str] = field(default_factory=Counter)
    exact: bool = True

    def add(self, names: Iterable[str]) -> None:
        """Count names."""
        self.counts.update(names)
        if len(self.counts) > _MOST_NAMES:
            self.exact = False
            self.counts = Counter(dict(self.ranked()[: _MOST_NAMES // 2]))

    def ranked(self) -> list[tuple[str, int]]:
        """Return names, the most frequent first; of equals the alphabetically first."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))


@dataclass
class Tally:
    """What is counted in one walk over the table.

    Attributes:
        scores: a histogram for each score column.
        rows: pictures.
        texts: texts by source.
        stopped: texts that a text filter judged, by source and reason.
        words: texts by number of words, by source, [MOST_WORDS + 1].
        sides: pictures by shorter side, as ``SIDES``.
        hosts: of the rows' addresses.
        languages: where the run has a column of them.
    """

    scores: dict[str, Histogram]
    rows: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    stopped: dict[str, Counter[str]] = field(default_factory=dict)
    words: dict[str, Counts] = field(default_factory=dict)
    sides: Counts = field(default_factory=lambda: np.zeros(len(SIDES), np.int64))
    hosts: Frequent = field(default_factory=Frequent)
    languages: Frequent = field(default_factory=Frequent)

    def add(self, rows: pa.Table, texts: pa.Table) -> None:
        """Count a partition.

        Args:
            rows: with the columns that ``wanted_columns`` names.
            texts: its flat view, with the scores.
        """
        self.rows += rows.num_rows
        sources = sources_of(texts)
        words = _words(texts["text"])
        reasons = np.asarray(texts["reason"].to_pylist(), dtype=object)
        for source in sorted(set(sources.tolist())):
            mine = sources == source
            self.texts[source] += int(mine.sum())
            counted = np.bincount(words[mine], minlength=MOST_WORDS + 1)
            self.words[source] = self.words.get(source, np.zeros_like(counted)) + counted
            judged = Counter(reason for reason in reasons[mine].tolist() if reason is not None)
            self.stopped.setdefault(source, Counter()).update(judged)
            for name, histogram in self.scores.items():
                histogram.add(source, floats(texts[name])[mine])
        self._add_rows(rows)

    def _add_rows(self, rows: pa.Table) -> None:
        if {"width", "height"} <= set(rows.column_names):
            sides = pc.min_element_wise(rows["width"], rows["height"]).drop_null().to_numpy()
            bins = np.searchsorted(SIDES, sides, side="right") - 1
            self.sides += np.bincount(np.maximum(bins, 0), minlength=len(SIDES))
        if "url" in rows.column_names:
            self.hosts.add(hosts_of(rows["url"]))
        for name in language_columns(rows.column_names):
            column = rows[name]
            flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
            self.languages.add(str(one)[:40] for one in flat.to_pylist() if one)


def wanted_columns(table: CommittedTable) -> list[str]:
    """Return the columns of a row that a report counts, beside uid, texts and scores."""
    named = [name for name in ("url", "path", "width", "height") if name in table.schema.names]
    return [*named, *language_columns(table.schema.names)]


def language_columns(names: Sequence[str]) -> list[str]:
    """Return the columns that say in which language a row's texts are, as a list may bring one."""
    return [name for name in names if name.casefold() in ("language", "languages", "lang")]


def score_histograms(table: CommittedTable) -> dict[str, Histogram]:
    """Return an empty histogram for each score: 0 to 1 for probabilities, else what occurs."""
    ranges = {name: (0.0, 1.0) for name in table.score_names if name.endswith("_itm")}
    others = [name for name in table.score_names if name not in ranges]
    ranges.update(_ranges(table, others))
    return {name: Histogram(np.linspace(*ranges[name], NUM_BINS + 1)) for name in table.score_names}


def add_canaries(table: CommittedTable, histograms: Mapping[str, Histogram]) -> None:
    """Count the planted mismatches beside the texts."""
    for _, part in table.canaries():
        for name in histograms.keys() & set(part.column_names):
            histograms[name].add(CANARY, floats(part[name]))


def _ranges(table: CommittedTable, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    low, high = dict.fromkeys(names, math.inf), dict.fromkeys(names, -math.inf)

    def look(name: str, column: pa.ChunkedArray) -> None:
        known = floats(column)
        known = known[np.isfinite(known)]
        if len(known):
            low[name] = min(low[name], float(known.min()))
            high[name] = max(high[name], float(known.max()))

    for rows in table.each_rows(names) if names else ():
        for name in names:
            look(name, pc.list_flatten(rows[name]))
    for _, part in table.canaries() if names else ():
        for name in set(names) & set(part.column_names):
            look(name, part[name])
    return {name: _widened(low[name], high[name]) for name in names}


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return bounds with something between them; 0 to 1 where no score occurs."""
    if low > high:
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def sources_of(texts: pa.Table) -> NDArray[np.object_]:
    """Return where each text came from, object [texts]; "unknown" where nobody said."""
    return np.asarray(pc.fill_null(texts["source"], "unknown").to_pylist(), dtype=object)


def floats(column: pa.ChunkedArray) -> Floats:
    """Return a score column as float64; NaN where there is no number."""
    return np.asarray(
        pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy(), dtype=np.float64
    )


def hosts_of(urls: pa.ChunkedArray) -> list[str]:
    """Return the hosts of addresses, in lower case; addresses without one are left out."""
    return [host for host in map(_host, urls.to_pylist()) if host]


def _host(url: Any) -> str:
    try:
        return (urlsplit(url).hostname or "") if url else ""
    except ValueError:  # a bracket that is no IPv6 address
        return ""


def _words(texts: pa.ChunkedArray) -> Counts:
    """Return the number of words of each text, at most ``MOST_WORDS``, int64 [texts]."""
    split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.fill_null(texts, "")))
    lengths = pc.list_value_length(split).to_numpy().astype(np.int64)
    empty = np.asarray(pc.equal(pc.utf8_trim_whitespace(pc.fill_null(texts, "")), "").to_numpy())
    return np.minimum(np.where(empty.astype(bool), 0, lengths), MOST_WORDS)
