from __future__ import annotations

import numpy as np
import pytest

from curate.inspection.report_charts import bar, panels
from curate.inspection.report_cuts import Cut
from curate.inspection.report_html import duration, element, escaped, joined, number, share, table
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
        (duration(12.34), "12.3 s"),
        (duration(600), "10.0 min"),
        (duration(7_200_000), "2,000.0 h"),
    ],
)
def test_numbers_for_people(said: str, expected: str) -> None:
    assert said == expected
