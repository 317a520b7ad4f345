from __future__ import annotations

from pathlib import Path

import pytest

from curate.core.errors import StoreError
from curate.core.table import CommittedTable
from curate.inspection.threshold_table import threshold_table
from tests.core.tables import Row, Text, commit_table
from tests.inspection.test_score_samples import plant_canaries


@pytest.fixture
def table(tmp_path: Path) -> CommittedTable:
    rows = [
        Row((Text("a dog", 0.9), Text("a bird", 0.2, "synthetic"))),
        Row((Text("a cat", 0.5), Text("a tree", 0.6, "synthetic"))),
        Row((Text("no score", None, reason="too_short"), Text("by hand", 0.7, "human"))),
    ]
    return commit_table(tmp_path, [rows[:2], rows[2:]])


def test_shares_are_counted_by_source_from_the_threshold_on(table: CommittedTable) -> None:
    found = threshold_table(table, "x_itm", [0.6, 0.5, 0.95]).to_pydict()
    assert found == {
        "threshold": [0.5, 0.6, 0.95],
        "web": [1.0, 0.5, 0.0],
        "synthetic": [0.5, 0.5, 0.0],
        "human": [1.0, 1.0, 0.0],
        "canaries": [None, None, None],
    }


def test_canaries_are_counted_beside_the_texts(table: CommittedTable) -> None:
    plant_canaries(table, [0.1, 0.3, 0.55, 0.8])
    assert threshold_table(table, None, [0.2, 0.55])["canaries"].to_pylist() == [0.75, 0.5]


def test_without_thresholds_the_scores_give_them(table: CommittedTable) -> None:
    found = threshold_table(table)
    cuts = found["threshold"].to_pylist()
    assert cuts == sorted(set(cuts))
    assert (cuts[0], cuts[-1]) == pytest.approx((0.2, 0.9))
    assert found["web"][0].as_py() == 1.0


def test_a_run_without_the_score_is_refused(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row((Text("a dog", None, reason="too_short"),))]])
    with pytest.raises(StoreError, match=r"no text of .* has a score of x_itm"):
        threshold_table(table)
