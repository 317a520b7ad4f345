"""SIGKILL at every place that has a name, then the same command: everything as undisturbed."""

from __future__ import annotations

import ast
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import curate
from curate.core.failpoints import POINTS, TRACE_VARIABLE, VARIABLE
from tests.chaos import command
from tests.chaos.material import web, write_material
from tests.chaos.outcome import check_alone, differences, outcome

pytestmark = pytest.mark.slow


class Undisturbed(NamedTuple):
    """A run that nothing happened to.

    Attributes:
        recipe: its recipe.
        found: what it holds.
        root: its folder.
        trace: the places it came to, in order: name and file.
    """

    recipe: Path
    found: dict[str, Any]
    root: Path
    trace: list[tuple[str, str]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    tmp = tmp_path_factory.mktemp("undisturbed")
    with web(tmp / "web") as address:
        recipe = write_material(tmp, address)
        trace = run_traced(recipe, tmp / "run", tmp / "trace")
        found = outcome(tmp / "run")
        check_alone(tmp / "run", found)
        yield Undisturbed(recipe, found, tmp / "run", trace)


def run_traced(recipe: Path, root: Path, trace: Path, *more: str) -> list[tuple[str, str]]:
    """Run to the end; returns the places it came to."""
    process = command.start(
        ["run", recipe, "--output", root, *more],
        trace.with_suffix(".said"),
        {TRACE_VARIABLE: str(trace)},
    )
    process.join(300)
    assert process.exitcode == 0, trace.with_suffix(".said").read_text(encoding="utf-8")
    lines = trace.read_text(encoding="utf-8").splitlines()
    return [(name, of) for name, _, of in (line.partition("\t") for line in lines)]


def run_and_die(recipe: Path, root: Path, where: str, *more: str) -> None:
    """Run until the process dies where it was told to."""
    said = root.with_suffix(".said")
    process = command.start(["run", recipe, "--output", root, *more], said, {VARIABLE: where})
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, said.read_text(encoding="utf-8")


FOLDERS = ("selections", "parts", "ledger", "commits", "canaries", "sketches", "scratch")


def kinds(trace: list[tuple[str, str]], name: str) -> list[str]:
    """Return with which kinds of files a run came to a place, in the order of their first ones."""
    found = []
    for file in (Path(file) for one, file in trace if one == name):
        found.append(next((folder for folder in FOLDERS if folder in file.parts), file.name))
    return list(dict.fromkeys(found))


def test_every_place_has_a_name_and_every_name_a_place() -> None:
    found = []
    for path in Path(curate.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "reach":
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: a name is due"
                found.append(name.value)
    assert sorted(found) == sorted(POINTS)


def test_a_name_that_is_none_is_refused(undisturbed: Undisturbed, tmp_path: Path) -> None:
    process = command.start(
        ["run", undisturbed.recipe, "--output", tmp_path / "run"],
        tmp_path / "said",
        {VARIABLE: "commit.parts"},
    )
    process.join(60)
    assert process.exitcode == 1
    assert "'commit.parts': no such place; there are" in (tmp_path / "said").read_text()


#: Places that a first run comes to; those of a changed recipe and of a second kill follow below.
FIRST = {*POINTS} - {"barrier.forgotten", "selection.moved", "export.cleared"}


@pytest.mark.parametrize("name", sorted(name for name in FIRST if name.startswith("file.")))
def test_killed_with_every_kind_of_file(
    name: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """One kill with each kind of file, one after the other in the same run."""
    chosen = kinds(undisturbed.trace, name)
    assert len(chosen) > 12
    for kind in chosen:
        run_and_die(undisturbed.recipe, tmp_path / "run", f"{name}@{kind}")
    assert_ends_well(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("name", sorted(name for name in FIRST if not name.startswith("file.")))
def test_killed_in_a_first_run(name: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """At the first visit; then, where there are several, at the second of what is left to do."""
    count = sum(one == name for one, _ in undisturbed.trace)
    assert count, f"an undisturbed run does not come to {name}"
    run_and_die(undisturbed.recipe, tmp_path / "run", name)
    if count > 2:
        run_and_die(undisturbed.recipe, tmp_path / "run", f"{name}:2")
    assert_ends_well(undisturbed, tmp_path / "run")


def assert_ends_well(undisturbed: Undisturbed, root: Path) -> None:
    """Run to the end: everything is as undisturbed, and once more there is nothing to do."""
    said = root.with_suffix(".said")
    command.finish(["run", undisturbed.recipe, "--output", root], said)
    found = outcome(root)
    assert differences(found, undisturbed.found) == []
    check_alone(root, found)


def test_nothing_is_left_to_do(undisturbed: Undisturbed) -> None:
    said = undisturbed.root.with_suffix(".again")
    command.finish(["run", undisturbed.recipe, "--output", undisturbed.root], said)
    assert "nothing to do" in said.read_text(encoding="utf-8")
    assert differences(outcome(undisturbed.root), undisturbed.found) == []
