from __future__ import annotations

import pyarrow as pa
import pytest

from curate.stages.canaries import plant
from tests.stages.partition_tables import partition_table


def _many(count: int) -> pa.Table:
    uids = [f"{n:032x}" for n in range(count)]
    texts = [[f"text {n}"] for n in range(count)]
    return pa.table(
        {
            "uid": uids,
            "texts": texts,
            "text_sources": [["web"]] * count,
            "text_reasons": pa.array([[None]] * count, pa.list_(pa.string())),
        }
    )


def _by_uid(rows: pa.Table, fraction: float) -> dict[str, str]:
    uids = rows["uid"].to_pylist()
    return {uids[canary.place]: canary.text for canary in plant(rows, fraction)}


def test_the_share_is_about_the_one_asked_for() -> None:
    assert len(plant(_many(4000), 0.05)) == pytest.approx(200, abs=45)


def test_the_same_canaries_whatever_the_order() -> None:
    rows = _many(300)
    backwards = rows.take(list(range(299, -1, -1)))
    assert _by_uid(backwards, 0.1) == _by_uid(rows, 0.1)


def test_a_larger_share_keeps_the_canaries_of_a_smaller_one() -> None:
    few, more = _by_uid(_many(300), 0.05), _by_uid(_many(300), 0.2)
    assert few.items() < more.items()


def test_canary_texts_are_spread_over_the_partition() -> None:
    texts = _by_uid(_many(300), 1.0).values()
    assert len(texts) == 300
    assert len(set(texts)) > 150


def test_a_small_partition_has_one_at_least() -> None:
    assert len(plant(partition_table(), 0.0001)) == 1


def test_none_where_it_is_switched_off() -> None:
    assert plant(partition_table(), 0) == []


@pytest.mark.parametrize("texts", [[], [["a dog"]], [[], []], [["a dog"], [" A  DOG"]]])
def test_none_where_no_text_is_strange_to_any_image(texts: list[list[str]]) -> None:
    assert plant(partition_table(texts), 1.0) == []


def test_an_image_without_a_text_of_its_own_may_be_a_canary() -> None:
    (canary,) = plant(partition_table([["a dog"], []]), 1.0)
    assert (canary.place, canary.text_place, canary.text) == (1, 0, "a dog")


def test_texts_with_a_reason_and_synthetic_ones_are_never_planted() -> None:
    reasoned = partition_table([["good"], ["bad"], ["x"]], reasons=[[None], ["too_short"], [None]])
    assert {canary.text for canary in plant(reasoned, 1.0)} == {"good", "x"}
    synthetic = partition_table([["a"], ["b"]], source="synthetic")
    assert plant(synthetic, 1.0) == []


def test_human_texts_serve_as_well() -> None:
    assert len(plant(partition_table([["a"], ["b"]], source="human"), 1.0)) == 2
