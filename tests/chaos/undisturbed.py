"""A run that nothing happened to, and the comparison with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from curate.core.failpoints import TRACE_VARIABLE
from tests.chaos import command
from tests.chaos.material import Web
from tests.chaos.outcome import check_alone, differences, outcome, told


class Undisturbed(NamedTuple):
    """A run that nothing happened to.

    Attributes:
        web: where its pictures come from.
        recipe: its recipe.
        found: what it holds.
        root: its folder.
        trace: the places it came to, in order: name and file.
        seconds: how long it took.
    """

    web: Web
    recipe: Path
    found: dict[str, Any]
    root: Path
    trace: list[tuple[str, str]]
    seconds: float


def run_traced(
    recipe: Path, root: Path, trace: Path, *more: str
) -> tuple[list[tuple[str, str]], float]:
    """Run to the end; returns the places it came to, and the seconds it took."""
    begun = time.monotonic()
    said = trace.with_suffix(".said")
    environment = {TRACE_VARIABLE: str(trace)}
    process = command.start(["run", recipe, "--output", root, *more], said, environment)
    process.join(300)
    assert process.exitcode == 0, said.read_text(encoding="utf-8")
    seconds = time.monotonic() - begun
    lines = trace.read_text(encoding="utf-8").splitlines()
    return [(name, of) for name, _, of in (line.partition("\t") for line in lines)], seconds


def assert_ends_well(undisturbed: Undisturbed, root: Path, *more: str) -> None:
    """Run to the end: everything is as undisturbed."""
    command.finish(["run", undisturbed.recipe, "--output", root, *more], root.with_suffix(".said"))
    assert_same(undisturbed, root)


def assert_same(undisturbed: Undisturbed, root: Path) -> None:
    """Check that a finished run holds what the undisturbed one does."""
    found = outcome(root)
    assert not differences(found, undisturbed.found), told(found, undisturbed.found)
    check_alone(root, found)
