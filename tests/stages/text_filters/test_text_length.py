from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.core.columns import TEXT_SOURCES, TEXTS
from curate.stages.text_filters.text_length import Config


def _rows(texts: list[list[str] | None], source: str = "web") -> pa.Table:
    return pa.table(
        {"texts": texts, "text_sources": [t and [source] * len(t) for t in texts]},
        schema=pa.schema([TEXTS, TEXT_SOURCES]),
    )


def test_words_and_characters() -> None:
    rows = _rows([["one two", "one"], [], ["a b c d", "  padded words  "], [""], None])
    got = Config(min_words=2, max_words=3).build()(rows)
    assert got.to_pylist() == [
        *([None, "too_few_words"], [], ["too_many_words", None], ["too_few_words"], [])
    ]
    got = Config(min_chars=4, max_chars=12).build()(rows)
    assert got.to_pylist()[:3] == [[None, "too_few_chars"], [], [None, None]]
    assert Config(max_chars=11).build()(rows).to_pylist()[2] == [None, "too_many_chars"]


def test_characters_are_code_points_and_any_white_space_separates() -> None:
    rows = _rows([["日本語の説明", "näive\u00a0cafe\u3000x\ty"]])
    assert Config(min_chars=6, max_chars=14).build()(rows).to_pylist() == [[None, None]]
    assert Config(min_words=4).build()(rows).to_pylist() == [["too_few_words", None]]


def test_human_texts_are_judged_only_when_listed() -> None:
    rows = _rows([["dog"]], source="human")
    assert Config(min_words=2).build()(rows).to_pylist() == [[None]]
    listed = Config(min_words=2, sources=("human",))
    assert listed.build()(rows).to_pylist() == [["too_few_words"]]


def test_a_slice_of_a_table_is_judged_by_its_own_rows() -> None:
    rows = _rows([["a"], ["one two"], ["b", "one two"]]).slice(1)
    assert Config(min_words=2).build()(rows).to_pylist() == [[None], ["too_few_words", None]]


@pytest.mark.parametrize("options", [{}, {"min_words": 3, "max_words": 2}, {"max_chars": 0}])
def test_bounds_without_effect_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Config(**options)
