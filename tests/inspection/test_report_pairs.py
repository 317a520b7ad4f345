from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from curate.core.ledger import LEDGER_SCHEMA
from curate.core.selection import Selection, select
from curate.core.table import CommittedTable
from curate.inspection.report_cuts import decided_on
from curate.inspection.report_pairs import EACH, PairPicker, StoppedPicker, read_pairs
from curate.stages.selectors.threshold import Config
from tests.core.tables import Row, Text, commit_table


def _selected(root: Path, rows: Sequence[Sequence[Row]], least: float) -> Selection:
    table = commit_table(root, rows)
    config = Config(column="x_itm", min=least)
    return select(table, config.build(), config.model_dump(), name="default")[0]


def _picked(table: CommittedTable, selection: Selection | None) -> dict[str, list[tuple[int, int]]]:
    facts = {"settings": {}, "summary": {}} if selection is None else selection.facts
    picker = PairPicker(decided_on(facts))
    for number in table.partitions:
        rejected = None if selection is None else selection.decisions(number)["rejected"]
        picker.add(table.texts(number), rejected)
    return picker.chosen()


def test_borderline_pairs_are_the_nearest_on_either_side(tmp_path: Path) -> None:
    partitions = [
        [Row([Text("t", (100 * part + row) / 200)]) for row in range(100)] for part in range(2)
    ]
    selection = _selected(tmp_path, partitions, 0.5)
    table = CommittedTable.open(tmp_path)
    chosen = _picked(table, selection)
    half = EACH // 2
    assert chosen["borderline"] == [
        *((1, row) for row in range(half)),  # 0.5 itself is kept
        *((0, 99 - row) for row in range(half)),
    ]
    assert len(chosen["kept"]) == len(chosen["dropped"]) == EACH
    assert all(partition == 1 for partition, _ in chosen["kept"])
    assert all(partition == 0 for partition, _ in chosen["dropped"])
    shown = [key for keys in chosen.values() for key in keys]
    assert len(set(shown)) == len(shown) == 3 * EACH
    assert chosen["kept"] != sorted(chosen["kept"])  # drawn by hash, not the first there are
    assert _picked(table, selection) == chosen


def test_a_picture_is_kept_by_one_text_and_dropped_by_all(tmp_path: Path) -> None:
    both = Row([Text("w", 0.1), Text("s", 0.9, "synthetic")])
    stopped = Row([Text("w", 0.49, reason="too_short"), Text("s", 0.2, "synthetic")])
    selection = _selected(
        tmp_path, [[both, Row(), stopped, Row([Text("w", None)]), Row([Text("w", 0.4)])]], 0.5
    )
    table = CommittedTable.open(tmp_path)
    chosen = _picked(table, selection)
    # (0, 0) once, though it lies on both sides; (0, 2) by 0.2, for 0.49 was stopped before
    assert chosen["borderline"] == [(0, 0), (0, 4), (0, 2)]
    assert chosen["kept"] == []
    assert chosen["dropped"] == [(0, 3)]
    pairs = read_pairs(table, selection, chosen["borderline"])
    said = [text["rejected"] for text in pairs[0, 2].texts]
    assert said == ["too_short", "below_min"]
    assert (pairs[0, 0].where, pairs[0, 0].image) == ("", None)


def test_without_a_selection_any_pair_may_be_shown(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text(str(n))]) for n in range(3 * EACH)]])
    chosen = _picked(table, None)
    assert list(chosen) == ["any"]
    assert len(chosen["any"]) == EACH
    pairs = read_pairs(table, None, chosen["any"])
    assert [text["text"] for text in pairs[chosen["any"][0]].texts] == [str(chosen["any"][0][1])]


def test_no_texts_no_pairs(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[], [Row(), Row()]])
    assert _picked(table, None) == {"borderline": [], "kept": [], "dropped": []}


def _entries(reasons: Sequence[str], number: int) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "partition": number,
                "row": row,
                "uid": None if row % 2 else f"{number}/{row}",
                "url": None,
                "texts": [],
                "stage": "fetch",
                "reason": reason,
                "detail": None,
            }
            for row, reason in enumerate(reasons)
        ],
        schema=LEDGER_SCHEMA,
    )


def test_every_reason_is_shown_by_a_few_rows() -> None:
    picker = StoppedPicker()
    for number in range(4):
        picker.add(_entries(["dns"] * 50 + ["timeout"], number))
    picker.add(_entries(["opt_out"], 9))
    reasons = [entry["reason"] for entry in picker.chosen()]
    assert reasons == ["dns", "dns", "opt_out", "timeout", "timeout"]
