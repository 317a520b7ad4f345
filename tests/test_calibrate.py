"""The command: what it prints, its exit codes, and that its line does in a recipe what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from curate.inspection.marks import Marks
from curate.recipe import parse_stage
from tests.core.tables import Row, Text, commit_table
from tests.inspection.test_score_samples import plant_canaries
from tests.recipes import curate


def _score(rng: np.random.Generator, mean: float) -> float:
    return float(1 / (1 + np.exp(-rng.normal(mean, 1))))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 400 web texts, 100 of them wrong, with 200 canaries that score like those."""
    root, rng = tmp_path_factory.mktemp("runs") / "run", np.random.default_rng(0)
    rows = [
        Row([Text(f"text {n}", _score(rng, -2 if n % 4 == 0 else 2)), Text("s", 0.9, "synthetic")])
        for n in range(400)
    ]
    table = commit_table(root, [rows])
    plant_canaries(table, [_score(rng, -2) for _ in range(200)])
    return root


@pytest.fixture(scope="module")
def labels(run: Path) -> Path:
    path = run.parent / "pairs.jsonl"
    lines = [
        json.dumps({"uid": f"0-{n}", "text": f"text {n}", "good": n % 4 != 0}) for n in range(200)
    ]
    path.write_text("\n".join(lines))
    return path


def _json(*arguments: Any) -> dict[str, Any]:
    result = curate("calibrate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_a_table_alone(run: Path) -> None:
    result = curate("calibrate", run)
    assert result.exit_code == 0
    assert "x_itm: 200 canaries and 400 web texts" in result.output
    assert "estimated: wrong texts" in result.output
    assert "if wrong texts score like canaries" in result.output
    assert max(len(line) for line in result.output.splitlines()[:8]) < 80
    assert "select:" not in result.output
    facts = _json(run)
    assert (facts["select"], facts["wanted"], facts["chosen"]) == (None, None, None)
    assert facts["noise"]["low"] < 0.25 < facts["noise"]["high"]
    shares = [point["let_through"]["value"] for point in facts["points"]]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] <= 0.01


def test_the_printed_line_selects_as_precisely_as_it_says(run: Path) -> None:
    result = curate("calibrate", run, "--precision", "0.95")
    assert result.exit_code == 0
    line = next(line for line in result.output.splitlines() if line.startswith("select:"))
    said = yaml.safe_load(line)["select"]
    assert (said["kind"], said["itm"]) == ("capfilt", "x_itm")
    facts = _json(run, "--precision", "0.95")
    assert facts["select"] == said
    settings = [f"{name}={value}" for name, value in said.items() if name != "kind"]
    selector = parse_stage({"kind": "capfilt"}, settings, "selectors", scores=["x_itm"]).config
    arguments = ("--set", f"threshold={selector.threshold}", "--set", "itm=x_itm", "--name", "cal")
    chosen = json.loads(curate("select", run, "--kind", "capfilt", *arguments, "--json").stdout)
    kept = chosen["selected"]["web"]
    assert kept == round(facts["chosen"]["accepted"]["value"] * 400)
    wrong = sum(_is_kept(run, n, said["threshold"]) for n in range(0, 400, 4))
    assert 1 - wrong / kept == pytest.approx(0.95, abs=0.03)


def _is_kept(run: Path, number: int, threshold: float) -> bool:
    from curate.core.table import CommittedTable

    texts = CommittedTable.open(run).texts(0)
    mine = texts.filter(np.array(texts["text"]) == f"text {number}")
    return bool(mine["x_itm"][0].as_py() >= threshold)


def test_labels_are_counted_and_agree_with_the_canaries(run: Path, labels: Path) -> None:
    counted = _json(run, "--recall", "0.9", "--labels", labels)
    assert counted["counted_on"] == "200 labelled pairs, 50 of them wrong"
    assert counted["noise"]["value"] == 0.25
    assert counted["chosen"]["recall"]["value"] >= 0.9
    estimated = _json(run, "--recall", "0.9")
    low, high = estimated["threshold"]["low"], estimated["threshold"]["high"]
    assert low <= counted["chosen"]["threshold"] <= high


def test_marks_count_like_the_same_labels(tmp_path: Path) -> None:
    rows = [Row([Text(f"t{n}", n / 20)]) for n in range(20)]
    commit_table(tmp_path / "run", [rows])
    wanted = ("--precision", "0.8")
    result = curate("calibrate", tmp_path / "run", *wanted, "--marks")
    assert result.exit_code == 2
    assert "of the 0 pairs in" in result.output
    marks = Marks(tmp_path / "run", by="ada")
    for n in range(20):
        marks.set(f"0-{n}", f"t{n}", n > 9)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(marks.lines()))
    marked = _json(tmp_path / "run", *wanted, "--marks")
    assert marked == _json(tmp_path / "run", *wanted, "--labels", path)
    assert marked["counted_on"] == "20 labelled pairs, 10 of them wrong"
    result = curate("calibrate", tmp_path / "run", "--marks", "--labels", path)
    assert result.exit_code == 2
    assert "give --labels or --marks" in result.output
    result = curate("calibrate", tmp_path / "run", "--marks", "--source", "synthetic")
    assert result.exit_code == 2
    assert "--source has no effect" in result.output


def test_what_cannot_be_reached_is_said_with_an_exit_code(run: Path, tmp_path: Path) -> None:
    rows = [Row([Text(f"t{n}", score)]) for n, score in enumerate([0.9, 0.8, 0.7, 0.1])]
    commit_table(tmp_path / "run", [rows])
    path = tmp_path / "pairs.jsonl"
    good = [False, True, True, False]
    path.write_text(
        "\n".join(json.dumps({"uid": f"0-{n}", "text": f"t{n}", "good": good[n]}) for n in range(4))
    )
    arguments = ("calibrate", tmp_path / "run", "--precision", "0.9", "--labels", path)
    result = curate(*arguments)
    assert result.exit_code == 1
    assert "no threshold reaches a precision of 0.9: the best is 0.667" in result.output
    assert json.loads(curate(*arguments, "--json").stdout)["best"] == 2 / 3


def test_texts_that_score_like_canaries_cannot_be_told_apart(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text(str(n), 0.01 * n)]) for n in range(40)]])
    plant_canaries(table, [0.5 + 0.01 * n for n in range(40)])
    result = curate("calibrate", tmp_path, "--recall", "0.9")
    assert result.exit_code == 1
    assert "all texts score like canaries" in result.output
    facts = json.loads(curate("calibrate", tmp_path, "--recall", "0.9", "--json").stdout)
    assert (facts["best"], facts["select"]) == (None, None)


def test_few_canaries_are_pointed_out(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("a", 0.9)]), Row([Text("b", 0.2)])]])
    plant_canaries(table, [0.1, 0.2, 0.3])
    assert "3 canaries are few" in curate("calibrate", tmp_path).output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--precision", "0.9", "--recall", "0.9"), 2, "--precision or --recall"),
        (("--precision", "1.5"), 2, "1.5 is not in the range"),
        (("--scorer", "nothing"), 2, "no score 'nothing'"),
        (("--labels", "/nowhere/pairs.jsonl"), 2, "cannot read labels"),
    ],
)
def test_questions_without_an_answer(
    run: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = curate("calibrate", run, *arguments)
    assert (result.exit_code, said in result.output) == (code, True), result.output


def test_no_text_of_a_source_is_an_error(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("a", 0.9)])]])
    plant_canaries(table, [0.1])
    result = curate("calibrate", tmp_path, "--source", "synthetic")
    assert result.exit_code == 2
    assert "no synthetic text with a score" in result.output
