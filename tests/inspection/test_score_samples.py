from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.core.atomic import write_parquet
from curate.core.errors import SourceError, StoreError
from curate.core.stage import CANARY_KEYS
from curate.core.table import CommittedTable
from curate.inspection.score_samples import (
    canary_scores,
    labelled_scores,
    read_labels,
    score_column,
    text_scores,
)
from tests.core.tables import Row, Text, commit_table

PARTITIONS = [
    [
        Row([Text("a dog", 0.9), Text("a drawn dog", 0.75, "synthetic")]),
        Row([Text("a bird", 0.1), Text("short", None, reason="too_short")]),
    ],
    [],
    [Row([Text("a cat", 0.5), Text("nan", float("nan"))]), Row([])],
]


def plant_canaries(table: CommittedTable, scores: list[float | None], number: int = 0) -> None:
    """Write canaries as the engine commits them."""
    keys = pa.table(
        [
            pa.array([number] * len(scores), pa.int32()),
            pa.array(range(len(scores)), pa.int32()),
            pa.array(range(len(scores)), pa.int32()),
            pa.array(["a text"] * len(scores), pa.string()),
        ],
        schema=CANARY_KEYS,
    )
    canaries = keys.append_column("x_itm", pa.array(scores, pa.float32()))
    write_parquet(table.store.canary_part(table.nodes[0], number), canaries)


def _labels(path: Path, *labels: tuple[str, str, Any]) -> Path:
    lines = [json.dumps({"uid": uid, "text": text, "good": good}) for uid, text, good in labels]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def test_scores_of_one_source_without_those_that_are_none(tmp_path: Path) -> None:
    table = commit_table(tmp_path, PARTITIONS)
    web = text_scores(table, "x_itm", "web")
    assert web.scores.tolist() == pytest.approx([0.9, 0.1, 0.5])
    assert (web.partitions, web.of) == (3, 3)
    assert text_scores(table, "x_itm", "synthetic").scores.tolist() == [0.75]


def test_of_too_many_texts_every_nth_partition_is_read(tmp_path: Path) -> None:
    rows = [[Row([Text(f"t{n}", n / 100)])] for n in range(10)]
    scores = text_scores(commit_table(tmp_path, rows), "x_itm", "web", most=4)
    assert (scores.partitions, scores.of) == (4, 10)
    assert scores.scores.tolist() == pytest.approx([0.0, 0.03, 0.06, 0.09])


def test_canaries_of_all_partitions(tmp_path: Path) -> None:
    table = commit_table(tmp_path, PARTITIONS)
    with pytest.raises(StoreError, match=r"no canaries of x_itm: .*'canaries: 0\.05'"):
        canary_scores(table, "x_itm")
    plant_canaries(table, [0.25, None])
    plant_canaries(table, [0.5], number=2)
    assert canary_scores(table, "x_itm").tolist() == [0.25, 0.5]


@pytest.mark.parametrize("wanted", ["x_itm", "x", None])
def test_a_score_is_found_by_column_by_scorer_or_by_being_the_only_one(
    tmp_path: Path, wanted: str | None
) -> None:
    assert score_column(commit_table(tmp_path, PARTITIONS), wanted) == "x_itm"


def test_a_score_that_is_not_there_is_said_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no score 'x_itc'.*did you mean 'x_itm'"):
        score_column(commit_table(tmp_path, PARTITIONS), "x_itc")


def test_labels_find_their_pairs(tmp_path: Path) -> None:
    table = commit_table(tmp_path / "run", PARTITIONS)
    path = _labels(
        tmp_path / "pairs.jsonl",
        ("0-0", "a dog", True),
        ("0-0", "a drawn dog", True),
        ("0-1", "a bird", False),
        ("0-1", "short", False),  # not scored
        ("0-1", "a dog", False),  # of another row
        ("9-9", "gone", True),
    )
    found = labelled_scores(table, "x_itm", read_labels(path), path)
    assert sorted(found.right) == pytest.approx([0.75, 0.9])
    assert found.wrong.tolist() == pytest.approx([0.1])
    assert (found.missing, found.unscored) == (2, 1)


def test_labels_of_one_kind_are_not_enough(tmp_path: Path) -> None:
    table = commit_table(tmp_path / "run", PARTITIONS)
    path = _labels(tmp_path / "pairs.jsonl", ("0-0", "a dog", True), ("7-7", "gone", False))
    with pytest.raises(StoreError, match=r"of the 2 pairs in .* holds 1, 1 right and 0 wrong"):
        labelled_scores(table, "x_itm", read_labels(path), path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "line 1: not a label"),
        ('{"uid": "a", "text": "b", "good": 1}', "line 1: not a label"),
        ('\n["a"]', "line 2: not a label"),
        ("{", "line 1: not a label"),
        (
            '{"uid": "a", "text": "b", "good": true}\n{"uid": "a", "text": "b", "good": false}',
            "line 2: 'b' of a is labelled both ways",
        ),
    ],
)
def test_lines_that_are_no_labels_are_told(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(SourceError, match=said):
        read_labels(path)


def test_a_text_may_hold_what_looks_like_the_end_of_a_line(tmp_path: Path) -> None:
    path = _labels(tmp_path / "pairs.jsonl", ("0-0", "a\u2028b\x85c", True))
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False))
    assert read_labels(path) == {("0-0", "a\u2028b\x85c"): True}


def test_a_missing_file_of_labels_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read labels"):
        read_labels(tmp_path / "nowhere.jsonl")
