from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.core import columns

SCORE = columns.score("x_itm")


def rows_of(texts: list[list[str] | None], scores: list[list[float | None] | None]) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array(texts, columns.TEXTS.type), pa.array(scores, SCORE.type)],
        schema=pa.schema([columns.TEXTS, SCORE]),
    )


@st.composite
def uneven(draw: st.DrawFn) -> tuple[list[list[str] | None], list[list[float | None] | None]]:
    texts, scores = [], []
    for _ in range(draw(st.integers(0, 6))):
        own = draw(st.none() | st.lists(st.sampled_from("ab"), max_size=4))
        number = st.none() | st.sampled_from([0.0, 0.25, -1.0])
        texts.append(own)
        scores.append(draw(st.none() | st.lists(number, max_size=len(own or []))))
    return texts, scores


@given(uneven(), st.integers(0, 2))
def test_padding_is_what_a_loop_would_do(
    data: tuple[list[list[str] | None], list[list[float | None] | None]], skipped: int
) -> None:
    texts, scores = data
    wanted = [
        [*(own or []), *[None] * (len(mine or []) - len(own or []))]
        for mine, own in zip(texts, scores, strict=True)
    ]
    # sliced, so that offsets do not begin at 0; chunked, so that they begin anew
    table = rows_of(texts, scores).slice(skipped)
    table = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    padded = columns.pad_parallel(table)
    got = [own or [] for own in padded["x_itm"].to_pylist()]
    assert got == wanted[skipped:]
    assert padded["texts"].equals(table["texts"])
    assert padded.schema.field("x_itm").equals(SCORE, check_metadata=True)


def test_a_list_longer_than_texts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'x_itm' has 2 entries in row 1 and texts has 1"):
        columns.pad_parallel(rows_of([["a"], ["b"]], [[0.5], [0.5, 0.5]]))


def test_a_table_without_texts_is_left_alone() -> None:
    table = pa.table({"a": [1, 2]})
    assert columns.pad_parallel(table) is table


def test_scores_are_told_from_other_parallel_lists_after_a_file() -> None:
    schema = pa.ipc.read_schema(pa.schema([SCORE, columns.TEXTS]).serialize())
    assert [columns.is_parallel(field) for field in schema] == [True, True]
    assert [columns.is_score(field) for field in schema] == [True, False]
    assert not columns.is_score(pa.field("x", pa.list_(pa.float32())))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"other": [1]}), "s declares the column 'width' and did not write it"),
        (pa.table({"width": ["1"]}), "s wrote 'width' as string, declared is int32"),
    ],
)
def test_undeclared_output_is_refused(table: pa.Table, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        columns.check_fields(table, [columns.WIDTH], writer="s")
    assert str(raised.value) == said
    columns.check_fields(pa.table({"width": pa.array([1], pa.int32())}), [columns.WIDTH], writer="")


def test_append_adds_at_the_end_and_replaces_in_place() -> None:
    table = pa.table({"width": pa.array([1], pa.int32()), "z": [0]})
    values: dict[str, Any] = {
        "height": pa.array([2], pa.int32()),
        "width": pa.array([3], pa.int32()),
    }
    got = columns.append_columns(table, values, [columns.WIDTH, columns.HEIGHT])
    assert got.to_pydict() == {"width": [3], "z": [0], "height": [2]}
    assert got.column_names == ["width", "z", "height"]


def test_an_embedding_has_a_fixed_width() -> None:
    assert columns.embedding("e", 4).type == pa.list_(pa.float16(), 4)
