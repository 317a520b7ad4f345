"""Where things are in a run's folder."""

from __future__ import annotations

from curate.core.location import StorePath
from curate.core.partition import part_name
from curate.core.plan import Node

PLAN_FILE = "plan.json"
RECIPE_FILE = "recipe.yaml"
PROGRESS_FILE = "progress.json"


class RunLayout:
    """A run's folder; every file of a partition has the partition's name."""

    def __init__(self, root: StorePath) -> None:
        self.root = root

    @property
    def spool(self) -> StorePath:
        """Copies of lists without random access, and listings of folders."""
        return self.root / "source"

    def part(self, node: Node, number: int, revision: int = 0) -> StorePath:
        """Columns a leg added to a partition."""
        return self._file(node, "parts", number, revision, ".parquet")

    def ledger_part(self, node: Node, number: int, revision: int = 0) -> StorePath:
        """Ledger entries of a leg or barrier for a partition; there only when rows stopped.

        A barrier has no supplements: its one file a partition grows by the verdicts on rows that
        came later.
        """
        return self._file(node, "ledger", number, revision, ".parquet")

    def canary_part(self, node: Node, number: int, revision: int = 0) -> StorePath:
        """Canary scores of a leg for a partition; there only when it has any."""
        return self._file(node, "canaries", number, revision, ".parquet")

    def sketch_part(self, node: Node, number: int, revision: int = 0) -> StorePath:
        """Narrow columns of a partition, for a barrier."""
        return self._file(node, "sketches", number, revision, ".parquet")

    def commit_file(self, node: Node, number: int, revision: int = 0) -> StorePath:
        """The commit of a leg for a partition."""
        return self._file(node, "commits", number, revision, ".json")

    def _file(self, node: Node, kind: str, number: int, revision: int, suffix: str) -> StorePath:
        return self.root / node.folder / kind / f"{part_name(number, revision)}{suffix}"

    def judged_file(self, node: Node) -> StorePath:
        """Which sketches a barrier has judged."""
        return self.root / node.folder / "judged.parquet"

    def resolving_file(self, node: Node) -> StorePath:
        """There while a barrier is being resolved: verdicts may be ahead of ``judged_file``."""
        return self.root / node.folder / "resolving.json"

    def done_file(self, node: Node) -> StorePath:
        """Totals of a step that is complete."""
        return self.root / node.folder / "done.json"

    def quarantine_file(self, node: Node, number: int) -> StorePath:
        """Why a partition was set aside."""
        return self.root / node.folder / "quarantine" / f"{part_name(number)}.json"

    @property
    def retry_file(self) -> StorePath:
        """The last request to try rows again."""
        return self.root / "retry.json"

    def selection(self, name: str) -> StorePath:
        """Folder of a selection."""
        return self.root / "selections" / name

    def decisions(self, name: str) -> StorePath:
        """Folder of decisions; selections refer to it."""
        return self.root / "decisions" / name
