"""The command ``curate report``: where the page goes, what is printed, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.tables import Row, Text, commit_table
from tests.inspection.html_pages import check_page
from tests.recipes import curate


@pytest.fixture
def run(tmp_path: Path) -> Path:
    commit_table(tmp_path / "run", [[Row([Text("one", 0.9)]), Row([Text("two", 0.1)])]])
    arguments = ("--kind", "threshold", "--set", "column=x_itm", "--set", "min=0.5")
    for name in ("default", "other"):
        assert curate("select", tmp_path / "run", *arguments, "--name", name).exit_code == 0
    return tmp_path / "run"


def test_the_page_stands_in_the_runs_folder(run: Path) -> None:
    result = curate("report", run)
    assert result.exit_code == 0, result.output
    first, second = result.output.splitlines()
    assert first == "table: 2 rows in, 2 pictures kept, 1 of 2 texts selected by 'default'"
    assert second.startswith(f"written to {run / 'report.html'} (")
    check_page((run / "report.html").read_text(encoding="utf-8"))
    assert curate("status", run).exit_code == 0  # the page is nobody's damaged file


def test_another_selection_and_place_and_the_figures_for_scripts(run: Path) -> None:
    path = run.parent / "pages" / "other.html"
    result = curate("report", run, "--selection", "other", "--output", path, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["report"], facts["bytes"]) == (str(path), path.stat().st_size)
    assert facts["rows"] == {"in": 2, "dropped": 0, "kept": 2, "waiting": 0}
    assert facts["selection"]["name"] == "other"
    assert facts["selection"]["selected"] == {"web": 1}
    assert sum(facts["scores"]["x_itm"]["counts"]["web"]) == 2
    assert "&#x27;other&#x27;" in path.read_text(encoding="utf-8")
    assert not (run / "report.html").exists()


def test_nothing_selected(tmp_path: Path) -> None:
    commit_table(tmp_path / "run", [[Row([Text("one", 0.9)])]])
    assert "1 texts, nothing selected" in curate("report", tmp_path / "run").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--selection", "defualt"), "no selection 'defualt'"),
        (("nowhere",), "holds no run"),
    ],
)
def test_what_is_refused(run: Path, arguments: tuple[str, ...], said: str) -> None:
    result = curate("report", run.parent / arguments[0], *arguments[1:])
    assert result.exit_code == 2
    assert said in result.output
    assert not (run / "report.html").exists()
