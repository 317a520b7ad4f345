"""The pages' own Python, recipes and cheap commands, run on a small real run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import curate
from curate.cli import main
from curate.engine.base import EngineConfig
from curate.recipe import parse
from tests.docs.pages import PAGES, ROOT, TUTORIALS, split
from tests.docs.small_run import make_small_run
from tests.docs.test_commands import curate_commands

#: Tutorials are run from end to end, by test_tutorials.py.
BLOCKS = [block for page in PAGES if page not in TUTORIALS for block in split(page)[1]]
PYTHON = [
    page
    for page in PAGES
    if page.stem != "extend" and any(b.page == page and b.language == "python" for b in BLOCKS)
]
YAML = [block for block in BLOCKS if block.language == "yaml"]
READ_ONLY = ("select", "export", "status")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a run where the pages have one, and select.md's commands done."""
    folder = tmp_path_factory.mktemp("place")
    make_small_run(folder, folder / "runs" / "quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def selected(place: Path) -> list[str]:
    """Run the cheap commands of select.md; returns their outputs."""
    outputs = []
    for block in split(ROOT / "docs" / "select.md")[1]:
        commands = list(curate_commands(block)) if block.language == "sh" else []
        if any(words[0] == "add-score" for words in commands):
            continue  # what follows reads a score of a checkpoint that is not here
        for words in commands:
            if words[0] in READ_ONLY:
                answer = CliRunner().invoke(main, words)
                assert answer.exit_code == 0, answer.output
                outputs.append(answer.output)
    return outputs


def test_commands_of_the_select_page(selected: list[str]) -> None:
    assert len(selected) == 7
    run = curate.open_run("runs/quickstart")
    assert run.selections == ["best30", "default", "middle", "strict"]
    assert "webdataset-strict" in selected[-1]


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.stem)
def test_python_of_a_page_runs(page: Path, place: Path, selected: list[str]) -> None:
    names: dict[str, object] = {}
    for block in split(page)[1]:
        if block.language == "python":
            exec(compile(block.code, page.name, "exec"), names)
    modules = {getattr(one, "__module__", getattr(one, "__name__", "")) for one in names.values()}
    assert any(str(name).startswith("curate") for name in modules)
    if page.stem == "README":
        assert (place / "low.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_recipes_are_valid() -> None:
    whole = [yaml.safe_load(b.code) for b in YAML if "source:" in b.code and "name:" in b.code]
    assert len(whole) == 1
    recipe = parse(whole[0])
    assert [f"{stage.family}/{stage.kind}" for stage in recipe.stages[-2:]] == [
        "captioners/blip",
        "scorers/blip",
    ]


def test_engine_settings_are_valid() -> None:
    found = [yaml.safe_load(b.code)["engine"] for b in YAML if b.code.startswith("engine:")]
    assert len(found) == 1
    config = EngineConfig.model_validate(found[0])
    assert config.workers == {"fetch": 16, "filter": 2}
