from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.atomic import write_parquet
from curate.core.selection import select
from curate.core.stage import CANARY_KEYS
from curate.inspection.round_report import RoundReport, alarms, report_round
from curate.stages.selectors.threshold import Config
from tests.core.tables import Row, Text, commit_table


def test_figures_of_a_round(tmp_path: Path) -> None:
    rows = [
        Row(
            [
                Text("the Golden Gate Bridge, 1937", 0.2),
                Text("a red bridge over water", 0.9, "synthetic"),
            ]
        ),
        Row([Text("a dog named Rex runs", 0.8), Text("a dog runs", 0.1, "synthetic")]),
        Row([Text("IMG 0012", 0.1), Text("a cat", 0.2, "synthetic")]),
    ]
    table = commit_table(tmp_path, [rows])
    node = table.nodes[0]
    canaries = pa.table(
        [[0] * 4, [0, 1, 2, 0], [1, 2, 0, 2], ["t"] * 4, [0.1, 0.2, 0.6, None]],
        schema=pa.schema([*CANARY_KEYS, pa.field("x_itm", pa.float32())]),
    )
    write_parquet(table.store.canary_part(node, 0), canaries)
    selection, _ = select(table, Config(column="x_itm", min=0.5).build(), {}, name="default")
    report = report_round(table, selection, score="x_itm", threshold=0.5)
    assert report.noise == {"synthetic": pytest.approx(2 / 3), "web": pytest.approx(2 / 3)}
    assert report.kept == {"synthetic": 1, "web": 1}
    assert report.agreement == pytest.approx(1 / 3)
    # Golden, Gate, Bridge, 1937 of the first image, Rex of the second; the third is kept not at all
    assert report.entity_words == 5
    assert report.entity_words_lost == pytest.approx(3 / 5)  # the caption has a bridge, no more
    # "a red bridge over water" and "a dog named Rex runs": eight pairs, all different
    assert report.distinct_2 == 1.0
    assert (report.canaries, report.canary_recall) == (3, pytest.approx(2 / 3))


def test_nothing_to_count(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[]])
    selection, _ = select(table, Config(column="x_itm", min=0.5).build(), {}, name="default")
    report = report_round(table, selection, score="x_itm", threshold=0.5)
    assert report.noise == {}
    assert report.agreement is report.entity_words_lost is report.distinct_2 is None
    assert report.canary_recall is None
    assert alarms([report, report]) == []


def _round(recall: float | None, noise: float) -> RoundReport:
    return RoundReport({"synthetic": noise}, {}, 1 - noise, 0, None, None, 100, recall)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (_round(0.88, 0.2), []),
        (_round(0.7, 0.2), ["begins to agree with everything"]),
        (_round(0.4, 0.2), ["ceased to judge"]),
        (_round(0.9, 0.04), ["captioner and filter agree"]),
        (_round(0.3, 0.01), ["ceased to judge", "captioner and filter agree"]),
        (_round(None, 0.2), []),
    ],
)
def test_alarms(last: RoundReport, said: list[str]) -> None:
    lines = alarms([_round(0.9, 0.25), last])
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))
