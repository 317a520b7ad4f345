from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.core.store import Receipt
from curate.core.totals import Totals

numbers = st.integers(0, 9)
receipts = st.builds(
    Receipt,
    numbers,
    numbers,
    numbers,
    st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.sampled_from("xy"), numbers)),
    numbers,
    numbers,
    st.dictionaries(st.sampled_from("ab"), st.floats(0, 4).map(lambda x: round(x * 4) / 4)),
    st.dictionaries(st.sampled_from(["a.bytes", "b.bytes"]), numbers),
    numbers,
)


def total(found: list[Receipt]) -> Totals:
    out = Totals()
    for receipt in found:
        out.add(receipt)
    return out


@given(st.lists(receipts, max_size=5))
def test_totals_are_sums_whatever_the_order(found: list[Receipt]) -> None:
    got = total(found)
    assert got.partitions == len(found)
    for name in ("rows_in", "rows_out", "texts", "canaries", "bytes_written"):
        assert getattr(got, name) == sum(getattr(one, name) for one in found)
    assert got.num_dropped == sum(
        n for one in found for d in one.dropped.values() for n in d.values()
    )
    for name in ("seconds", "notes"):
        for key in {key for one in found for key in getattr(one, name)}:
            wanted = sum(getattr(one, name).get(key, 0) for one in found)
            assert getattr(got, name)[key] == wanted
    assert total(found[::-1]) == got


@given(st.lists(receipts, max_size=3))
def test_totals_come_back_from_json(found: list[Receipt]) -> None:
    got = total(found)
    assert Totals.from_json(json.loads(json.dumps(got.to_json()))) == got


@pytest.mark.parametrize("body", [None, "", "{", "[]", '{"other": 1}'])
def test_totals_that_are_gone_or_damaged_are_none(tmp_path: Path, body: str | None) -> None:
    path = tmp_path / "done.json"
    if body is not None:
        path.write_text(body)
    assert Totals.load(path) is None
    path.write_text(json.dumps(Totals(partitions=3).to_json()))
    assert Totals.load(path) == Totals(partitions=3)


def test_adding_leaves_the_receipt_alone() -> None:
    receipt = Receipt(0, 3, 1, {"a": {"x": 2}}, notes={"a.n": 1.0})
    before = replace(receipt)
    totals = total([receipt, receipt])
    assert receipt == before
    assert totals.dropped == {"a": {"x": 4}}
    assert totals.notes == {"a.n": 2.0}
