"""What follows the passes, on the sample's table: selection, views, exports, timed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from curate.after_passes import export_selection, select_texts
from curate.core.config import SinkConfig
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.probe.measured import StepMeasured
from curate.recipe import Recipe

_NAME = "probe"


class Follows:
    """Does what a recipe wants of its table, as often as asked, and notes what it took.

    Args:
        recipe: whose output is a scratch folder.
        root: that folder.
    """

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self._recipe = recipe
        self._root = root
        self._views: dict[str, list[Path]] = {}
        self._noted: dict[str, list[tuple[int, float, int]]] = {}

    def run(self, rows: int) -> Selection | None:
        """Select, build the views and exports from nothing.

        Args:
            rows: of the list, behind the table as it is now.

        Returns:
            The selection; None without a selector.
        """
        table = CommittedTable.open(self._root)
        selection = self._select(table, rows)
        self._sinks(table, rows)
        for export in self._recipe.export if selection is not None else ():
            assert selection is not None
            begun = time.perf_counter()
            export_selection(export, table, selection, _no_progress)
            seconds = time.perf_counter() - begun
            folder = self._root / "shards" / f"{export.name}-{selection.name}"
            self._note(export.name, rows, seconds, [folder])
        return selection

    def _select(self, table: CommittedTable, rows: int) -> Selection | None:
        if self._recipe.select is None:
            return None
        begun = time.perf_counter()
        selection, _ = select_texts(self._recipe.select, table, _NAME)
        seconds = time.perf_counter() - begun
        decisions = self._root / "decisions" / str(selection.facts["decisions"])
        self._note("select", rows, seconds, [decisions])
        return selection

    def _sinks(self, table: CommittedTable, rows: int) -> None:
        for sink in self._recipe.sinks:
            assert isinstance(sink.config, SinkConfig)
            for path in self._views.get(sink.name, ()):  # a view that grew holds old versions too
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            had = set(self._root.iterdir())
            begun = time.perf_counter()
            sink.config.build().index(table, _no_progress)
            seconds = time.perf_counter() - begun
            self._views[sink.name] = sorted(set(self._root.iterdir()) - had)
            self._note(sink.name, rows, seconds, self._views[sink.name])

    def _note(self, name: str, rows: int, seconds: float, made: Sequence[Path]) -> None:
        size = sum(size_of(path) for path in made)
        self._noted.setdefault(name, []).append((rows, seconds, size))

    def measured(self) -> list[StepMeasured]:
        """Return what the last two times took."""
        found = []
        for name, said in self._noted.items():
            rows, seconds, sizes = zip(said[-2], said[-1], strict=True)
            found.append(
                StepMeasured(
                    name=name, after_pass=None, rows=rows, seconds=seconds, num_bytes=sizes
                )
            )
        return found


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)


def _no_progress(done: int, total: int) -> None:
    """A probe's steps are over in a moment."""
