"""``curate plan --probe``: what it says, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recipes import (
    TEXTS,
    curate,
    folder_recipe,
    installed_plugin,
    picture_folder,
    write_recipe,
)

ROWS = 60


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty pictures; scratch folders and the cache lie beside them."""
    for name in ("scratch", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    texts = [f"{TEXTS[number % len(TEXTS)]} {number}" for number in range(ROWS)]
    picture_folder(tmp_path / "pictures", texts)
    said = folder_recipe(tmp_path, export=[{"kind": "webdataset"}], sinks=[{"kind": "lance"}])
    said["stages"].insert(0, {"kind": "exact"})
    return write_recipe(tmp_path / "r.yaml", said)


def facts_of(*arguments: str | Path) -> dict[str, Any]:
    result = curate("plan", *arguments, "--json")
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_a_sample_is_measured_and_nothing_else_is_touched(recipe: Path) -> None:
    facts = facts_of(recipe, "--probe", "32")
    assert (facts["measured"]["rows"], sum(facts["measured"]["sizes"])) == (ROWS, 31)
    said = facts["prediction"]
    names = [stage["name"] for stage in said["stages"]]
    assert names == [
        *("image_folder", "commit"),  # a barrier begins the recipe: this leg only reads
        *("load", "resolution", "commit", "text_length", "letters", "commit"),
    ]
    assert [step["name"] for step in said["steps"]] == ["exact", "select", "lance", "webdataset"]
    assert said["steps"][0]["survival"] == 1.0
    assert all(stage["busy_s"]["value"] > 0 for stage in said["stages"] if stage["name"] == "load")
    assert 0 < said["seconds"]["low"] < said["seconds"]["value"] < said["seconds"]["high"]
    assert said["num_bytes"]["value"] > 1000
    assert said["cost"] == 0
    assert facts["bytes_free"] > 0
    assert said["cautions"][0].startswith("exact: a sample holds few")
    folder = recipe.parent
    assert not (folder / "run").exists()
    assert list((folder / "scratch").iterdir()) == []
    result = json.loads(curate("run", recipe, "--json").stdout)
    low, high = (said["rows_kept"][end] for end in ("low", "high"))
    assert low <= result["kept"] <= high
    selected = sum(result["selection"]["selected"].values())
    assert said["selected"]["low"] <= selected <= said["selected"]["high"]


def test_what_was_measured_is_kept_until_something_changes(recipe: Path) -> None:
    probe = (recipe, "--probe", "32", "--set", "sinks=[]", "--set", "export=[]")
    first = facts_of(*probe)
    priced = facts_of(*probe, "--price-per-cpu-hour", "3600")
    assert priced["measured"] == first["measured"]
    said = priced["prediction"]
    assert said["cost"] == pytest.approx(said["seconds"]["value"] * said["cluster"]["cpus"])
    for changed in (["--again"], ["--set", "stages[2].min_side=50"]):
        anew = facts_of(*probe, *changed)["measured"]
        assert anew["legs"] != first["measured"]["legs"]
    assert len(list((recipe.parent / "cache" / "curate" / "probes").iterdir())) == 2


def test_a_source_smaller_than_the_sample_is_taken_whole(recipe: Path) -> None:
    facts = facts_of(recipe, "--probe", "500")
    assert sum(facts["measured"]["sizes"]) == ROWS - 1  # the first warms up
    assert facts["prediction"]["cautions"] == []  # it holds every repeat there is


def test_a_cluster_of_any_size(recipe: Path) -> None:
    options = ("--engine", "ray", "--cpus", "32", "--workers", "load=4")
    facts = facts_of(recipe, "--probe", "32", *options)
    said = facts["prediction"]
    assert said["engine"] == "ray"
    assert said["cluster"] == {"cpus": 32.0, "gpus": 0}
    assert {s["workers"] for s in said["stages"] if s["name"] == "load"} == {4}
    assert said["cpu_hours"] == pytest.approx(32 * said["seconds"]["value"] / 3600)


def test_people_get_tables(recipe: Path) -> None:
    result = curate("plan", recipe, "--probe", "32", "--price-per-cpu-hour", "10")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f"small -> {recipe.parent / 'run'}"
    heads = [line.split()[0] for line in lines if line.strip()]
    for name in ("load", "letters", "exact", "lance", "time", "pictures", "texts", "disk", "held"):
        assert name in heads, result.output
    assert "on the local engine with" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cpus", "4"), "--cpus is about a prediction: give --probe as well"),
        (("--again",), "--again is about a prediction"),
        (("--probe", "32", "--gpus", "4"), "add --engine ray"),
        (("--probe", "32", "--engine", "ray", "--workers", "load"), "form STAGE=NUMBER"),
        (("--probe", "3"), "is not in the range"),
        (("--probe", "32", "--engine", "ray", "--workers", "laod=3"), "did you mean 'load'?"),
    ],
)
def test_what_is_refused(recipe: Path, arguments: tuple[str, ...], said: str) -> None:
    result = curate("plan", recipe, *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_handful_of_rows_is_not_worth_it(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    result = curate(
        "plan", write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path)), "--probe", "32"
    )
    assert result.exit_code == 2
    assert "quicker run than probed" in result.output
