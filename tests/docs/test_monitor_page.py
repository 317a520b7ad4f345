"""The table of metrics in docs/monitor.md says what the code says."""

from __future__ import annotations

import re

from curate.cli import main
from curate.core.meters import METERS
from curate.status.run import LOADING_S, SILENT_S, STALLED_S
from tests.docs.pages import sections

PAGE = sections("docs/monitor.md")


def rows(section: str, columns: int) -> list[list[str]]:
    """Return the cells of a section's tables."""
    lines = [line for line in PAGE[section].text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == columns]


def test_every_metric_with_its_kind_and_labels() -> None:
    listed = {
        row[0].strip("`"): (row[1], tuple(re.findall(r"`(\w+)`", row[2])))
        for row in rows("Metrics", 4)
    }
    assert listed == {meter.exported: (meter.kind, meter.labels) for meter in METERS}


def test_causes_and_states_are_those_of_the_code() -> None:
    described = {row[0].strip("`"): row[3] for row in rows("Metrics", 4)}
    for meter in METERS:
        if ":" in meter.description:
            named = re.findall(r"\w+", meter.description.partition(":")[2])
            for word in [word for word in named if word != "or"]:
                assert f"`{word}`" in described[meter.exported]


def test_every_option_of_status() -> None:
    listed = {row[0].strip("`").split()[0] for row in rows("From another terminal", 3)}
    options = {o for p in main.commands["status"].params for o in p.opts if o.startswith("--")}
    assert listed == options


def test_the_patience_is_as_the_page_says() -> None:
    assert (STALLED_S, LOADING_S, SILENT_S) == (120, 600, 60)
    assert "no commit for two minutes" in PAGE["From another terminal"].text
