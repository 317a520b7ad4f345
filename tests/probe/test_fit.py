from __future__ import annotations

import numpy as np
import pytest

from curate.probe.fit import Line, line, student, wilson

SIZES = [16, 32, 64, 16, 128, 32]


def test_a_line_is_found_again() -> None:
    found = line([3.0 + 0.5 * size for size in SIZES], SIZES)
    assert (found.each, found.per_row) == pytest.approx((3.0, 0.5))
    assert found.at(1000) == pytest.approx(503.0)
    assert found.over(10, 9500) == pytest.approx(30 + 4750)


def test_it_is_the_weighted_least_squares_line() -> None:
    random = np.random.default_rng(0)
    values = 2 + 0.3 * np.array(SIZES) + random.normal(size=6)
    weights = 1 / np.array(SIZES)
    slope, start = np.polyfit(SIZES, values, 1, w=np.sqrt(weights))
    found = line(values, SIZES)
    assert (found.each, found.per_row) == pytest.approx((start, slope))


@pytest.mark.parametrize(
    ("values", "sizes", "expected"),
    [
        ([1.0, 10.0], [10, 20], Line(0.0, 11 / 30)),  # would begin below zero
        ([10.0, 1.0], [10, 20], Line((1.0 + 0.05) / 0.15, 0.0)),  # would fall
        ([4.0, 6.0], [10, 10], Line(0.0, 0.5)),  # nothing to tell them by
        ([0.0, 0.0], [10, 20], Line(0.0, 0.0)),
        ([], [], Line(0.0, 0.0)),
    ],
)
def test_neither_part_is_negative(values: list[float], sizes: list[int], expected: Line) -> None:
    found = line(values, sizes)
    assert (found.each, found.per_row) == pytest.approx((expected.each, expected.per_row))


@pytest.mark.parametrize(("degrees", "value"), [(3, 3.182), (5, 2.571), (11, 2.201), (30, 2.042)])
def test_students_t_by_its_table(degrees: int, value: float) -> None:
    assert student(degrees) == pytest.approx(value, rel=0.02)


def test_wilsons_interval_by_its_published_values() -> None:
    # Newcombe 1998, Table I: 81 of 263, 15 of 148, 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
