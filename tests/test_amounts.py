from __future__ import annotations

import pytest

from curate.amounts import clock_text, size_text, time_text


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (999_949, "999.9 KB"),
        (999_950, "1.0 MB"),
        (5.84e6, "5.8 MB"),
        (2e13, "20.0 TB"),
    ],
)
def test_sizes(count: float, said: str) -> None:
    assert size_text(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12.34, "12 s"),
        (204, "3.4 min"),
        (600, "10 min"),
        (93_600, "26 h"),
        (7_200_000, "83.3 days"),
    ],
)
def test_times(seconds: float, said: str) -> None:
    assert time_text(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00"), (83, "1:23"), (3599.6, "1 h 00 min"), (90_061, "25 h 01 min")],
)
def test_clocks(seconds: float, said: str) -> None:
    assert clock_text(seconds) == said
