from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.core import columns
from curate.core.errors import LawError
from curate.core.ledger import (
    LEDGER_SCHEMA,
    check_rows,
    check_texts,
    count_reasons,
    merge_counts,
    split_rows,
)

reasons = st.none() | st.sampled_from(["small", "large", "gone"])


def rows_of(count: int, *, url: bool = True) -> pa.Table:
    table = pa.Table.from_arrays(
        [pa.array([7] * count, pa.int32()), pa.array(range(count), pa.int32())],
        schema=pa.schema([columns.PARTITION, columns.ROW]),
    )
    if url:
        table = table.append_column(
            columns.URL, pa.array([f"u{i}" for i in range(count)], pa.string())
        )
    return table


@given(st.lists(reasons, max_size=12))
def test_every_row_goes_on_or_to_the_ledger(said: list[str | None]) -> None:
    table = rows_of(len(said))
    details = pa.array([f"d{i}" for i in range(len(said))], pa.string())
    on, ledger = split_rows(table, pa.array(said, pa.string()), details, stage="s")
    assert on["row"].to_pylist() == [i for i, reason in enumerate(said) if reason is None]
    assert [(e["row"], e["reason"], e["detail"], e["url"]) for e in ledger.to_pylist()] == [
        (i, reason, f"d{i}", f"u{i}") for i, reason in enumerate(said) if reason is not None
    ]
    assert ledger.schema.equals(LEDGER_SCHEMA)
    check_rows("here", rows_in=len(said), rows_out=on.num_rows, dropped=count_reasons(ledger))


def test_columns_that_do_not_exist_are_null_in_the_ledger() -> None:
    _, ledger = split_rows(rows_of(1, url=False), pa.array(["gone"]), None, stage="s")
    (entry,) = ledger.to_pylist()
    assert entry == {
        **{"partition": 7, "row": 0, "uid": None, "url": None, "texts": None},
        **{"stage": "s", "reason": "gone", "detail": None},
    }


@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_verdict_per_row_is_due(count: int) -> None:
    with pytest.raises(LawError, match=f"s gave {count} verdicts for 2 rows"):
        split_rows(rows_of(2), pa.array([None] * count, pa.string()), None, stage="s")


def test_the_law_of_rows() -> None:
    dropped = {"a": {"x": 2, "y": 1}, "b": {"x": 4}}
    check_rows("here", rows_in=10, rows_out=3, dropped=dropped)
    with pytest.raises(LawError) as raised:
        check_rows("here", rows_in=11, rows_out=3, dropped=dropped)
    assert str(raised.value) == (
        "here: 11 rows came in, 3 went on and 7 are in the ledger: +1 unaccounted for"
    )
    with pytest.raises(LawError, match="-1 unaccounted for"):
        check_rows("here", rows_in=9, rows_out=3, dropped=dropped)


def test_the_law_of_texts() -> None:
    check_texts("here", texts=5, selected=2, rejected={"low": 3})
    with pytest.raises(LawError, match=r"5 texts in the table, 1 selected and 3 rejected: \+1"):
        check_texts("here", texts=5, selected=1, rejected={"low": 3})


counts = st.dictionaries(
    st.sampled_from("ab"), st.dictionaries(st.sampled_from("xyz"), st.integers(1, 9))
)


@given(counts, counts)
def test_counts_add_up(one: dict[str, dict[str, int]], other: dict[str, dict[str, int]]) -> None:
    into = {stage: dict(found) for stage, found in one.items()}
    before = {stage: dict(found) for stage, found in other.items()}
    merge_counts(into, other)
    assert other == before
    for stage in "ab":
        for reason in "xyz":
            wanted = one.get(stage, {}).get(reason, 0) + other.get(stage, {}).get(reason, 0)
            assert into.get(stage, {}).get(reason, 0) == wanted
