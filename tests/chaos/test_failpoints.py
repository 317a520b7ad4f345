"""SIGKILL at every place that has a name, then the same command: everything as undisturbed."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from curate.core.failpoints import POINTS, VARIABLE
from tests.chaos import command
from tests.chaos.outcome import check_alone, differences, outcome
from tests.chaos.undisturbed import Undisturbed, assert_ends_well, run_traced

pytestmark = pytest.mark.slow


def dies(recipe: Path, root: Path, where: str, *more: str) -> bool:
    """Run until the process dies where it was told to; returns whether it came there."""
    said = root.with_suffix(".said")
    process = command.start(["run", recipe, "--output", root, *more], said, {VARIABLE: where})
    process.join(300)
    assert process.exitcode in (0, -signal.SIGKILL), said.read_text(encoding="utf-8")
    return process.exitcode != 0


def run_and_die(recipe: Path, root: Path, where: str, *more: str) -> None:
    assert dies(recipe, root, where, *more), f"{where}: it did not come there"


def die_everywhere(quiet: Undisturbed, base: Path, root: Path, *more: str) -> None:
    """Kill once at every place and with every kind of file, one after the other, and go on.

    Args:
        quiet: what the run should come to, and its trace.
        base: what it starts from.
        root: the run; where too little is left to come to a place, it starts from the base again.
        more: of the command line.
    """
    shutil.copytree(base, root)
    for where in stations(quiet.trace):
        if not dies(quiet.recipe, root, where, *more):
            assert_ends_well(quiet, root, *more)
            shutil.rmtree(root)
            shutil.copytree(base, root)
            run_and_die(quiet.recipe, root, where, *more)
    assert_ends_well(quiet, root, *more)


FOLDERS = (
    "lease",
    "files",
    "decisions",
    "selections",
    "parts",
    "ledger",
    "commits",
    "canaries",
    "sketches",
    "scratch",
)


def stations(trace: list[tuple[str, str]]) -> list[str]:
    """Return the places a run came to, each with every kind of file, in their order."""
    found = []
    for name, file in trace:
        path = Path(file)
        kind = next((folder for folder in FOLDERS if folder in path.parts), path.name)
        found.append(f"{name}@{kind}" if file else name)
    return list(dict.fromkeys(found))


#: Places that a first run comes to; those of a changed recipe and of a second kill follow below.
FIRST = {*POINTS} - {"barrier.forgotten", "selection.moved", "export.cleared"}
FIRST -= {"object.written", "object.put"}  # see tests/objectstore
FIRST -= {"added.scored", "added.placed", "lance.exchanged"}  # see tests/test_add_score.py
FIRST -= {
    "export.left",
    *(name for name in POINTS if name.startswith("forget.")),
}  # see tests/test_forget.py


@pytest.mark.parametrize("name", sorted(name for name in FIRST if name.startswith("file.")))
def test_killed_with_every_kind_of_file(
    name: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """One kill with each kind of file, one after the other in the same run."""
    chosen = [where for where in stations(undisturbed.trace) if where.startswith(name)]
    assert len(chosen) > 12
    for where in chosen:
        run_and_die(undisturbed.recipe, tmp_path / "run", where)
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


def test_nothing_is_left_to_do(undisturbed: Undisturbed) -> None:
    said = undisturbed.root.with_suffix(".again")
    command.finish(["run", undisturbed.recipe, "--output", undisturbed.root], said)
    assert "nothing to do" in said.read_text(encoding="utf-8")
    assert differences(outcome(undisturbed.root), undisturbed.found) == []


#: Another captioner, another cut: models run again; view, selection and export are replaced.
CHANGED = ("--set", "stages[5].max_tokens=5", "--set", "select.fraction=0.4")


def test_killed_everywhere_in_a_changed_recipe(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """One kill at every place and with every kind of file, one after the other."""
    shutil.copytree(undisturbed.root, tmp_path / "quiet")
    trace, _ = run_traced(undisturbed.recipe, tmp_path / "quiet", tmp_path / "trace", *CHANGED)
    assert {"selection.moved", "lance.dropped"} <= {name for name, _ in trace}
    quiet = undisturbed._replace(found=outcome(tmp_path / "quiet"), trace=trace)
    assert {"rows", "selection default-1"} <= set(differences(quiet.found, undisturbed.found))
    die_everywhere(quiet, undisturbed.root, tmp_path / "run", *CHANGED)


def test_killed_everywhere_in_a_retry(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The server gives what it had refused: supplements, and barriers that are resolved again."""
    retry = ("--retry", "http_5xx")
    undisturbed.web.down = False
    try:
        shutil.copytree(undisturbed.root, tmp_path / "quiet")
        trace, _ = run_traced(undisturbed.recipe, tmp_path / "quiet", tmp_path / "trace", *retry)
        quiet = undisturbed._replace(found=outcome(tmp_path / "quiet"), trace=trace)
        assert quiet.found["rows"].num_rows > undisturbed.found["rows"].num_rows
        check_alone(tmp_path / "quiet", quiet.found)
        die_everywhere(quiet, undisturbed.root, tmp_path / "run", *retry)
    finally:
        undisturbed.web.down = True


def test_killed_while_a_barrier_recovers(undisturbed: Undisturbed, tmp_path: Path) -> None:
    run_and_die(undisturbed.recipe, tmp_path / "run", "barrier.verdict")
    run_and_die(undisturbed.recipe, tmp_path / "run", "barrier.forgotten")
    assert_ends_well(undisturbed, tmp_path / "run")


def test_killed_while_an_unfinished_export_is_replaced(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    run_and_die(undisturbed.recipe, tmp_path / "run", "export.shards", *CHANGED)
    run_and_die(undisturbed.recipe, tmp_path / "run", "export.cleared")
    command.finish(["run", undisturbed.recipe, "--output", tmp_path / "run"], tmp_path / "said")
    found = outcome(tmp_path / "run")
    # the other recipe's selection is kept beside this one's
    assert set(differences(found, undisturbed.found)) == {"selection default-1"}
    check_alone(tmp_path / "run", found)
