from __future__ import annotations

import numpy as np
import pytest

from curate.inspection.report_charts import bar, panels, round_values
from curate.inspection.report_cuts import Cut
from curate.inspection.report_html import element, escaped, joined, number, share, table
from tests.inspection.html_pages import Page

EVIL = "</title><script>alert('x')</script>\" onload=\"alert(1)"


def test_text_and_attributes_are_escaped() -> None:
    made = element("p", {"title": EVIL, "hidden": True, "lang": None}, EVIL)
    page = Page.read(made)
    (found,) = page.elements
    assert found.text == EVIL
    assert found.attributes == {"title": EVIL, "hidden": ""}


def test_markup_is_taken_once() -> None:
    inner = element("b", {}, "1 < 2")
    assert joined(inner, " & ") == "<b>1 &lt; 2</b> &amp; "
    assert escaped(inner) == "&lt;b&gt;1 &amp;lt; 2&lt;/b&gt;"


def test_characters_that_html_forbids_are_replaced() -> None:
    assert escaped("a\x00b\x1bc\td\n\ufffe") == "a\ufffdb\ufffdc\td\n\ufffd"


def test_tables_name_rows_and_columns() -> None:
    page = Page.read(table("Hosts", ("host", "rows", ""), [["a.test", "3", bar(3, 6)]]))
    heads = [(one.attributes["scope"], one.text) for one in page.all("th")]
    assert heads == [("col", "host"), ("col", "rows"), ("row", "a.test")]
    assert page.all("rect")[1].attributes["width"] == "50.00"


def test_bars_of_nothing_and_of_too_much() -> None:
    widths = [Page.read(bar(*one)).all("rect")[1].attributes["width"] for one in [(0, 0), (9, 3)]]
    assert widths == ["0.00", "100.00"]


def test_a_chart_has_its_threshold_where_it_is_and_says_itself_in_words() -> None:
    counts = {"web": np.array([4, 0, 2, 0]), EVIL: np.array([0, 0, 0, 1])}
    page = Page.read(
        panels(
            "chart",
            "scores",
            counts,
            [0.0, 0.25, 0.5, 0.75, 1.0],
            axis="x_itm",
            cuts=[Cut(0.5), Cut(0.75, "least", "web"), Cut(7.0)],
            description="in words",
        )
    )
    (drawing,) = page.all("svg")
    assert drawing.attributes["aria-labelledby"].split() == ["chart-title", "chart-text"]
    assert page.all("desc")[0].text == "in words"
    bars = [one for one in page.all("rect") if "series" in one.attributes["class"]]
    assert [one.attributes["class"] for one in bars] == ["series web"] * 2 + ["series other"]
    heights = [float(one.attributes["height"]) for one in bars]
    assert heights[0] == 2 * heights[1] == heights[2]  # each row to its own highest bar
    lines = [one for one in page.all("line") if one.attributes["class"] == "threshold"]
    assert [line.attributes["x1"] for line in lines] == ["280.0", "416.0", "280.0"]
    said = [one.text for one in page.all("text") if "threshold" in one.attributes["class"]]
    assert said == ["kept from 0.5", "kept from 0.75"]
    assert page.all("title")[1].text == "0 to 0.25: 4 (66.7%)"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(1234567), "1,234,567"),
        (number(0.1234), "0.123"),
        (share(1, 8), "12.5%"),
        (share(1, 0), ""),
    ],
)
def test_numbers_for_people(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.313, 0.699, [-0.2, 0.0, 0.2, 0.4, 0.6]),
        (0, 61, [0, 20, 40, 60]),
        (-1e-7, 2e-7, [-1e-7, 0, 1e-7, 2e-7]),
        (1e6, 1.5e6, [1e6, 1.1e6, 1.2e6, 1.3e6, 1.4e6, 1.5e6]),
    ],
)
def test_an_axis_has_round_values(low: float, high: float, values: list[float]) -> None:
    assert round_values(low, high) == pytest.approx(values)


def test_an_axis_has_a_few_values_whatever_its_range() -> None:
    rng = np.random.default_rng(0)
    for low, width in zip(rng.normal(size=300), 10.0 ** rng.uniform(-6, 6, 300), strict=True):
        values = round_values(low, low + width)
        assert 2 <= len(values) <= 7, (low, width)
        assert low - 1e-6 * width <= values[0] < values[-1] <= low + width * (1 + 1e-6)
