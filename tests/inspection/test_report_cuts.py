from __future__ import annotations

import numpy as np
import pytest

from curate.inspection.report_cuts import Cut, Decided, decided_on


@pytest.mark.parametrize(
    ("settings", "summary", "found"),
    [
        ({"itm": "f_itm", "threshold": 0.5}, {}, Decided("f_itm", (Cut(0.5),))),
        (
            {"column": "x", "min": 0.1, "max": 0.9},
            {},
            Decided("x", (Cut(0.1), Cut(0.9, "most"))),
        ),
        ({"column": "x", "fraction": 0.3}, {"cut": 0.72}, Decided("x", (Cut(0.72),))),
        ({"column": "x", "fraction": 0.3}, {"cut": None}, Decided("x")),
        ({"column": "x", "k": 2, "min": None}, {}, Decided("x")),
        (
            {"column": "x", "min": 0.2, "synthetic_min": 0.4},
            {},
            Decided("x", (Cut(0.2, "least", "web"), Cut(0.4, "least", "synthetic"))),
        ),
        ({"keep": ["web"]}, {}, Decided()),
        ({"column": "x", "min": float("inf")}, {}, Decided("x")),
    ],
)
def test_thresholds_are_read_off_what_a_selection_says(
    settings: dict[str, object], summary: dict[str, object], found: Decided
) -> None:
    assert decided_on({"settings": settings, "summary": summary}) == found


def test_sides_and_distances() -> None:
    decided = Decided("x", (Cut(0.2, "least", "web"), Cut(0.4, "least", "synthetic")))
    scores = np.array([0.25, 0.25, 0.1, np.nan, 0.9])
    sources = np.array(["web", "synthetic", "web", "web", "human"], dtype=object)
    assert decided.passes(scores, sources).tolist() == [True, False, False, False, True]
    distance = decided.distance(scores, sources)
    assert distance[:3] == pytest.approx([0.05, 0.15, 0.1])
    assert np.isnan(distance[3:]).all()  # without a score, and judged by no threshold


def test_a_threshold_from_above() -> None:
    decided = Decided("x", (Cut(0.1), Cut(0.9, "most")))
    scores = np.array([0.1, 0.9, 0.95, 0.05])
    sources = np.array(["web"] * 4, dtype=object)
    assert decided.passes(scores, sources).tolist() == [True, True, False, False]
    assert decided.distance(scores, sources) == pytest.approx([0, 0, 0.05, 0.05])
