from __future__ import annotations

import pytest

from curate.advice import _MEANING, advice


@pytest.mark.parametrize("reason", sorted(set(_MEANING) - {"rate"}))
def test_every_class_that_dominates_has_a_line(reason: str) -> None:
    line = advice({reason: 60, "too_small": 10}, rows=100)
    assert line is not None and line.startswith(f"60% of the rows ({reason}): ")


def test_classes_that_mean_the_same_are_counted_together() -> None:
    line = advice({"tls": 15, "tls_certificate": 15, "http_404": 20}, rows=200)
    assert line is not None and "15% of the rows (tls, tls_certificate)" in line
    line = advice({"host_busy": 30}, rows=100)
    assert line is not None and "host_wait_s" in line


def test_what_may_pass_can_be_tried_again() -> None:
    line = advice({"timeout": 60}, rows=100)
    assert line is not None and line.endswith("`curate run RECIPE --retry timeout`")
    line = advice({"tls": 30, "tls_certificate": 30}, rows=100)
    assert line is not None and line.endswith("--retry tls,tls_certificate`")
    line = advice({"http_404": 60}, rows=100)
    assert line is not None and "--retry" not in line


@pytest.mark.parametrize(
    ("reasons", "rows"),
    [
        ({}, 100),
        ({"dns": 19}, 19),  # too few to say
        ({"dns": 99}, 1000),  # less than a tenth of all rows
        ({"dns": 40, "http_404": 30, "timeout": 30}, 100),  # less than half of the failures
        ({"too_small": 90}, 100),  # nothing to say of it
        ({"dns": 0}, 0),
    ],
)
def test_nothing_is_said_without_cause(reasons: dict[str, int], rows: int) -> None:
    assert advice(reasons, rows=rows) is None


@pytest.mark.parametrize(("count", "rows"), [(20, 20), (100, 1000), (50, 100)])
def test_the_bounds_belong_to_it(count: int, rows: int) -> None:
    others = {"http_404": count} if rows == 100 else {}
    assert advice({"dns": count, **others}, rows=rows) is not None
