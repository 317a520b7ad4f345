"""The folders of a run's steps, those of earlier recipes as well, and their files by partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from curate.core.atomic import child_names
from curate.core.location import StorePath
from curate.core.partition import part_number
from curate.core.plan import Node
from curate.core.store import RunStore

#: Kinds of a step's Parquet files that hold rows by their keys.
KINDS = ("parts", "ledger", "canaries", "sketches")


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has written something.

    Attributes:
        node: of the plan; of an earlier recipe's step the folder alone, with an empty schema.
        before: the steps that the plan has before it; None where the step is not of the plan.
        is_leg: whether it commits partitions; a barrier gives verdicts.
        first: whether it reads the source.
    """

    node: Node
    before: tuple[Node, ...] | None
    is_leg: bool
    first: bool


def steps_of(store: RunStore, nodes: Sequence[Node], added: Sequence[Node]) -> list[Step]:
    """Return every step that has a folder."""
    before = {node.folder: tuple(nodes[:place]) for place, node in enumerate(nodes)}
    before |= {node.folder: tuple(nodes) for node in added}
    known = {node.folder: node for node in (*nodes, *added)}
    found = []
    for folder in _folders(store.root):
        is_leg = not folder.rsplit("/", 1)[-1].startswith("barrier-")
        first = folder.startswith("passes/0/leg-0-")
        node = known.get(folder) or Node(folder, "", (), pa.schema([]) if is_leg else None)
        found.append(Step(node, before.get(folder), is_leg, first))
    return found


def _folders(root: StorePath) -> Iterator[str]:
    parents = [*(f"passes/{number}" for number in child_names(root / "passes")), "added"]
    for parent in parents:
        for name in child_names(root / parent):
            if not name.startswith("."):  # of the system, or half removed
                yield f"{parent}/{name}"


def files_of(folder: StorePath, numbers: set[int] | None = None) -> Iterator[tuple[int, StorePath]]:
    """Yield a folder's files of some partitions, or of all, with the partition's number."""
    groups = None if numbers is None else {f"{number // 1000:06d}" for number in numbers}
    for group in child_names(folder):
        if groups is not None and group not in groups:
            continue
        for name in child_names(folder / group):
            if name.startswith("."):
                continue
            number, _ = part_number(folder / group / name)
            if numbers is None or number in numbers:
                yield number, folder / group / name
