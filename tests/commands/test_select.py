"""``curate select``: what is made, listed, compared and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.tables import Row, Text, commit_table
from tests.recipes import curate


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [
        Row([Text("one\x1b[2J", 0.9)]),
        Row([Text("two", 0.5), Text("three", 0.1, "synthetic")]),
    ]
    commit_table(tmp_path / "run", [rows])
    for name, least in (("loose", 0.4), ("strict", 0.8)):
        options = ("--set", "column=x_itm", "--set", f"min={least}")
        made = curate("select", tmp_path / "run", "--kind", "threshold", "--name", name, *options)
        assert made.exit_code == 0, made.output
    return tmp_path / "run"


def test_selections_are_listed(run: Path) -> None:
    lines = curate("select", run, "--list").output.splitlines()
    assert lines == [
        "loose: 2 of 3 texts by threshold (column x_itm, min 0.4)",
        "strict: 1 of 3 texts by threshold (column x_itm, min 0.8)",
    ]
    facts = json.loads(curate("select", run, "--list", "--json").stdout)
    assert [(one["name"], one["selected"], one["current"]) for one in facts] == [
        *(("loose", 2, True), ("strict", 1, True)),
    ]
    commit_table(run, [[Row([Text("later", 0.9)])]], first=1)
    assert "decided on an earlier table" in curate("select", run, "--list").output


def test_a_run_without_a_selection(tmp_path: Path) -> None:
    commit_table(tmp_path, [[Row([Text()])]])
    assert "has no selection" in curate("select", tmp_path, "--list").output


def test_two_selections_are_compared(run: Path) -> None:
    said = curate("select", run, "--diff", "loose", "strict").output
    assert "pictures with a text: 1 in both, 1 in loose alone, 0 in strict alone" in said
    assert "loose alone: strict rejects 1 as below_min" in said
    assert "two (below_min; x_itm 0.500)" in said
    facts = json.loads(curate("select", run, "--diff", "loose", "strict", "--json").stdout)
    assert facts["counts"]["both"] == {"web": 1}
    assert facts["counts"]["first"] == {"web": 1}
    assert facts["samples"][0]["text"] == "two"


def test_a_strangers_text_cannot_move_the_cursor(run: Path) -> None:
    options = ("--set", "column=x_itm", "--set", "max=0.6")
    curate("select", run, "--kind", "threshold", "--name", "low", *options)
    said = curate("select", run, "--diff", "strict", "low").output
    assert "one [2J (above_max" in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--kind is missing"),
        (("--kind", "source"), "--name is missing"),
        (("--list", "--diff", "loose", "strict"), "one of them at a time"),
        (("--list", "--samples", "3"), "--samples goes with --diff"),
        (("--list", "--kind", "source"), "one of them at a time"),
        (("--diff", "loose", "strcit"), "did you mean 'strict'?"),
    ],
)
def test_what_is_refused(run: Path, arguments: tuple[str, ...], said: str) -> None:
    result = curate("select", run, *arguments)
    assert result.exit_code == 2
    assert said in result.output
