from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.stages.selectors.threshold import Config


def _decide(config: Config, values: list[float | None]) -> list[str | None]:
    texts = pa.table({"filter_itc": pa.array(values, pa.float32())})
    reasons: list[str | None] = config.build().decide(texts).to_pylist()
    return reasons


def test_both_bounds_are_inclusive() -> None:
    config = Config(column="filter_itc", min=0.25, max=0.5)
    got = _decide(config, [0.2, 0.25, 0.3, 0.5, 0.75, None, float("nan")])
    assert got == ["below_min", None, None, None, "above_max", "not_scored", "not_scored"]


def test_one_bound_leaves_the_other_side_open() -> None:
    assert _decide(Config(column="filter_itc", min=0.0), [-1.0, 1.0]) == ["below_min", None]
    assert _decide(Config(column="filter_itc", max=0.0), [-1.0, 1.0]) == [None, "above_max"]


def test_no_bound_is_refused() -> None:
    with pytest.raises(ValidationError, match="min, max or both"):
        Config(column="filter_itc")


def test_crossed_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match="no text can be kept"):
        Config(column="filter_itc", min=0.5, max=0.4)
