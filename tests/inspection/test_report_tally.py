from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.core.columns import HEIGHT, URL, WIDTH
from curate.core.table import flatten_texts
from curate.inspection import report_tally
from curate.inspection.report_tally import (
    CANARY,
    MOST_WORDS,
    SIDES,
    Frequent,
    Histogram,
    Tally,
    add_canaries,
    hosts_of,
    score_histograms,
    wanted_columns,
)
from tests.core.tables import Row, Text, commit_table
from tests.inspection.test_score_samples import plant_canaries

LANGUAGE = pa.field("LANGUAGE", pa.string())


def _row(*texts: Text, url: str = "http://a.test/1", side: int = 100, language: str = "en") -> Row:
    extra = {"url": url, "width": side, "height": 2 * side, "LANGUAGE": language}
    return Row(texts, extra=extra)


def test_counts_over_partitions(tmp_path: Path) -> None:
    table = commit_table(
        tmp_path,
        [
            [
                _row(Text("two words", 0.99), Text("a b c", 0.5, "synthetic")),
                _row(Text("", None, reason="too_short"), url="http://B.test:80/x", side=64),
            ],
            [],
            [_row(Text("w " * 200, 1.0), url="no address", side=4000, language="de"), _row()],
        ],
        extra=[URL, WIDTH, HEIGHT, LANGUAGE],
    )
    plant_canaries(table, [0.1, None])
    tally = Tally(score_histograms(table))
    for number in table.partitions:
        rows = table.rows(number)
        tally.add(rows, flatten_texts(rows, table.score_names))
    add_canaries(table, tally.scores)
    assert wanted_columns(table) == ["url", "width", "height", "LANGUAGE"]
    assert (tally.rows, tally.texts) == (4, {"web": 3, "synthetic": 1})
    assert tally.stopped["web"] == {"too_short": 1}
    words = {source: np.flatnonzero(counts).tolist() for source, counts in tally.words.items()}
    assert words == {"web": [0, 2, MOST_WORDS], "synthetic": [3]}
    counted = dict(zip(SIDES, tally.sides.tolist(), strict=True))
    assert {side: n for side, n in counted.items() if n} == {64: 3, 2048: 1}
    assert tally.hosts.ranked() == [("a.test", 2), ("b.test", 1)]
    assert tally.languages.ranked() == [("en", 3), ("de", 1)]
    histogram = tally.scores["x_itm"]
    assert np.flatnonzero(histogram.counts["web"]).tolist() == [39]  # 0.99 and 1.0: the last of 40
    assert histogram.counts["web"].sum() == 2
    assert histogram.counts["synthetic"][20] == 1  # 0.5 belongs to the bin that it opens
    assert histogram.counts[CANARY][4] == 1
    assert histogram.unscored == {"web": 1, "synthetic": 0, CANARY: 1}


def test_bins_agree_with_numpy() -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    edges = np.linspace(-4, 4, 17)
    histogram = Histogram(edges)
    for part in np.split(scores, 10):
        histogram.add("web", part)
    assert histogram.counts["web"].tolist() == np.histogram(scores, edges)[0].tolist()


def test_scores_beyond_the_edges_and_without_a_number() -> None:
    histogram = Histogram(np.linspace(0, 1, 5))
    histogram.add("web", np.array([-3.0, 7.0, np.nan, np.inf]))
    assert histogram.counts["web"].tolist() == [1, 0, 0, 1]
    assert histogram.unscored["web"] == 2


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(-0.2, 0.6, (-0.2, 0.6)), (0.3, 0.3, (-0.2, 0.8)), (np.inf, -np.inf, (0.0, 1.0))],
)
def test_the_range_of_a_score(low: float, high: float, bounds: tuple[float, float]) -> None:
    assert report_tally._widened(low, high) == bounds


def test_any_number_of_names_takes_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_tally, "_MOST_NAMES", 10)
    frequent = Frequent()
    for start in range(0, 100, 5):
        frequent.add(["often"] * 3 + [f"host-{start + n}" for n in range(5)])
        assert len(frequent.counts) <= 10
    assert not frequent.exact
    assert frequent.ranked()[0] == ("often", 60)


def test_hosts() -> None:
    urls = [None, "", "x", "http://[broken/", "HTTPS://user@Example.TEST:8/a", "//c.test/b"]
    assert hosts_of(pa.chunked_array([pa.array(urls)])) == ["example.test", "c.test"]
