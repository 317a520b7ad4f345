from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stages.selectors.top_fraction import Config, TopFraction, from_ordered, ordered

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def _table(values: list[float | None]) -> pa.Table:
    return pa.table({"s": pa.array(values, pa.float32())})


def _select(chunks: list[list[float | None]], fraction: float) -> tuple[TopFraction, list[bool]]:
    selector = Config(column="s", fraction=fraction).build()

    def scan() -> Iterator[pa.Table]:
        yield from (_table(chunk) for chunk in chunks)

    selector.prepare(scan)
    kept = [r is None for chunk in chunks for r in selector.decide(_table(chunk)).to_pylist()]
    return selector, kept


@given(
    chunks=st.lists(st.lists(st.one_of(st.none(), finite), max_size=20), max_size=5),
    percent=st.integers(1, 100),
)
def test_equals_a_sort_of_the_whole_set(chunks: list[list[float | None]], percent: int) -> None:
    fraction = percent / 100
    _, kept = _select(chunks, fraction)
    values = [value for chunk in chunks for value in chunk]
    scored = sorted((v for v in values if v is not None), reverse=True)
    wanted = math.ceil(Fraction(percent, 100) * len(scored))
    expected = [v is not None and v >= scored[wanted - 1] for v in values]
    assert kept == expected


@given(st.lists(finite, min_size=1, max_size=50))
def test_ordered_keys_keep_the_order_and_come_back(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    keys = ordered(array)
    assert [from_ordered(int(key)) for key in keys] == array.tolist()
    by_key, by_value = array[np.argsort(keys, kind="stable")], np.sort(array)
    assert by_key.tolist() == by_value.tolist()


def test_ties_at_the_cut_are_all_kept() -> None:
    _, kept = _select([[0.9, 0.5, 0.5], [0.5, 0.1]], 0.4)
    assert kept == [True, True, True, True, False]


def test_the_fraction_is_the_decimal_that_was_written() -> None:
    _, kept = _select([[float(n) for n in range(10)]], 0.3)  # 0.3 * 10 is 3.0000000000000004 wide
    assert sum(kept) == 3


def test_minus_zero_ties_with_zero() -> None:
    _, kept = _select([[0.0, -0.0, -1.0]], 0.3)
    assert kept == [True, True, False]


def test_not_scored_texts_do_not_count() -> None:
    selector = Config(column="s", fraction=0.5).build()
    texts = _table([None, float("nan"), 0.2, 0.8])
    selector.prepare(lambda: [texts])
    reasons = selector.decide(texts).to_pylist()
    assert reasons == ["not_scored", "not_scored", "below_top_fraction", None]
    summary = selector.summary()
    assert summary["scored"] == 2
    assert summary["cut"] == pytest.approx(0.8)


def test_a_set_without_scores_selects_nothing() -> None:
    selector, kept = _select([[None, None]], 1.0)
    assert kept == [False, False]
    assert selector.summary()["cut"] is None


def test_deciding_before_the_set_was_seen_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        Config(column="s", fraction=0.5).build().decide(_table([0.1]))
