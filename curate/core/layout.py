"""Where things are in a run's folder."""

from __future__ import annotations

from pathlib import Path

from curate.core.partition import part_name
from curate.core.plan import Node

PLAN_FILE = "plan.json"
RECIPE_FILE = "recipe.yaml"


class RunLayout:
    """A run's folder on a local disk; every file of a partition has the partition's name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def spool(self) -> Path:
        """Copies of lists without random access, and listings of folders."""
        return self.root / "source"

    def part(self, node: Node, number: int, revision: int = 0) -> Path:
        """Columns a leg added to a partition."""
        return self._file(node, "parts", number, revision, ".parquet")

    def ledger_part(self, node: Node, number: int, revision: int = 0) -> Path:
        """Ledger entries of a leg or barrier for a partition; there only when rows stopped.

        A barrier has no supplements: its one file a partition grows by the verdicts on rows that
        came later.
        """
        return self._file(node, "ledger", number, revision, ".parquet")

    def canary_part(self, node: Node, number: int, revision: int = 0) -> Path:
        """Canary scores of a leg for a partition; there only when it has any."""
        return self._file(node, "canaries", number, revision, ".parquet")

    def sketch_part(self, node: Node, number: int, revision: int = 0) -> Path:
        """Narrow columns of a partition, for a barrier."""
        return self._file(node, "sketches", number, revision, ".parquet")

    def commit_file(self, node: Node, number: int, revision: int = 0) -> Path:
        """The commit of a leg for a partition."""
        return self._file(node, "commits", number, revision, ".json")

    def _file(self, node: Node, kind: str, number: int, revision: int, suffix: str) -> Path:
        return self.root / node.folder / kind / f"{part_name(number, revision)}{suffix}"

    def judged_file(self, node: Node) -> Path:
        """Which sketches a barrier has judged."""
        return self.root / node.folder / "judged.parquet"

    def done_file(self, node: Node) -> Path:
        """Totals of a step that is complete."""
        return self.root / node.folder / "done.json"

    def quarantine_file(self, node: Node, number: int) -> Path:
        """Why a partition was set aside."""
        return self.root / node.folder / "quarantine" / f"{part_name(number)}.json"

    @property
    def retry_file(self) -> Path:
        """The last request to try rows again."""
        return self.root / "retry.json"

    def selection(self, name: str) -> Path:
        """Folder of a selection."""
        return self.root / "selections" / name
