from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.core.columns import ORIGINAL_HEIGHT, ORIGINAL_WIDTH
from curate.stages.filters import aspect_ratio, resolution


def _rows(*sizes: tuple[int | None, int | None]) -> pa.Table:
    return pa.table(
        {
            "original_width": [width for width, _ in sizes],
            "original_height": [height for _, height in sizes],
        },
        schema=pa.schema([ORIGINAL_WIDTH, ORIGINAL_HEIGHT]),
    )


def test_resolution_names_each_bound() -> None:
    rows = _rows((200, 300), (199, 300), (300, 199), (1001, 300), (1000, 999), (210, 200))
    judge = resolution.Config(min_side=200, max_side=1000, min_area=42_001, max_area=998_999)
    verdicts = judge.build()(rows)
    assert verdicts.reasons.to_pylist() == [
        *(None, "too_small", "too_small", "too_large", "too_large", "too_small")
    ]
    assert verdicts.details.to_pylist()[:2] == [None, "199 x 300 pixels"]


def test_bounds_are_inclusive() -> None:
    judge = resolution.Config(min_side=20, max_side=30, min_area=600, max_area=600)
    assert judge.build()(_rows((20, 30), (30, 20))).reasons.to_pylist() == [None, None]


def test_aspect_ratio_judges_both_ways_round() -> None:
    rows = _rows((300, 100), (100, 300), (301, 100), (100, 301), (5, 5))
    assert aspect_ratio.Config(max=3).build()(rows).reasons.to_pylist() == [
        *(None, None, "aspect_ratio", "aspect_ratio", None)
    ]


def test_unknown_sizes_stop_with_their_own_reason() -> None:
    rows = _rows((None, 100), (100, None), (0, 100), (100, 100))
    for judge in (resolution.Config(min_side=2), aspect_ratio.Config()):
        expected = ["unknown_size"] * 3 + [None]
        assert judge.build()(rows).reasons.to_pylist() == expected


@pytest.mark.parametrize(
    "options", [{}, {"min_side": 0}, {"min_side": 5, "max_side": 4}, {"min_area": 9, "max_area": 8}]
)
def test_bounds_without_effect_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        resolution.Config(**options)
