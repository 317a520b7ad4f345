"""Every error a user can meet, in one tree.

    CurateError
    ├── RecipeError      a recipe that cannot run: all its problems at once, each with its line
    ├── SourceError      a list or folder that cannot be read, or that changed under a run
    ├── ModelError       a checkpoint without weights, of another family, or not to be trusted
    ├── StoreError       a run's folder that cannot be read or written
    │   ├── StorageFull  no room left; what was committed stays valid
    │   ├── RunLocked    another process owns the run
    │   └── OtherRun     the folder holds a run of another recipe or another list
    ├── LawError         rows or texts unaccounted for: a defect in a stage or in curate itself
    ├── StageError       a stage that raised, with its partition
    └── EngineError      workers that cannot be had, or a cluster that cannot be reached
        └── DeviceFailed a GPU that refuses all further work of its process

A bad row is data and goes to the ledger; these are for bad input to the program and bad programs.
Each message says what is wrong, where, and how to mend it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class CurateError(Exception):
    """Base of all errors that curate raises on purpose."""


class SourceError(CurateError):
    """A list or folder that cannot be read, or that changed under a run."""


class ModelError(CurateError):
    """A checkpoint that cannot be loaded: missing, no weights, another family, untrusted."""


class StoreError(CurateError):
    """A run's folder that cannot be read or written."""


class StorageFull(StoreError):  # noqa: N818 - names the state, as OSError's subclasses do
    """No room left on the device. What was committed stays valid; the same command continues."""


class RunLocked(StoreError):  # noqa: N818
    """Another process owns the run's folder."""


class OtherRun(StoreError):  # noqa: N818
    """The folder holds a run of another recipe or of another list."""


class LawError(CurateError):
    """Rows or texts unaccounted for. Nothing was committed; the message names the numbers."""


class StageError(CurateError):
    """A stage raised on a partition. The cause is chained."""


class EngineError(CurateError):
    """Workers that cannot be had, or a cluster that cannot be reached."""


class DeviceFailed(EngineError):  # noqa: N818
    """A GPU that refuses all further work of its process, as CUDA does after a failed kernel."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a recipe.

    Attributes:
        message: what is wrong, with the offending value.
        key: dotted path in the recipe, e.g. ``stages[2].min_side``; empty for the whole file.
        line: 1-based line of the recipe, or None when the recipe did not come from a file.
        hint: how to mend it; empty when the message says it all.
    """

    message: str
    key: str = ""
    line: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        """Return ``line 7: stages[2].min_side: message (hint)``."""
        where = [f"line {self.line}"] if self.line is not None else []
        where += [self.key] if self.key else []
        hint = f" ({self.hint})" if self.hint else ""
        return ": ".join([*where, self.message]) + hint


class RecipeError(CurateError):
    """A recipe that cannot run. Holds every problem found, in the order of their lines."""

    def __init__(self, recipe: str, problems: Sequence[Problem]) -> None:
        self.recipe = recipe
        self.problems = sorted(problems, key=lambda p: (p.line is None, p.line or 0))
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{recipe}: {count}, nothing was run\n{lines}")

    def __reduce__(self) -> tuple[type[RecipeError], tuple[str, list[Problem]]]:
        """Pickle by its parts, so that it crosses a process boundary whole."""
        return type(self), (self.recipe, self.problems)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint naming the nearest valid names, or all of them when none is near.

    Example:
        >>> nearest("keepratio", ["border", "keep_ratio"])
        "did you mean 'keep_ratio'?"
    """
    names = sorted(set(valid))
    if not names:
        return "there is none to choose from"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    return "one of: " + ", ".join(names)
