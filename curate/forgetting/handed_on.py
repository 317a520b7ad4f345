"""Exports, views, pages and marks of a run: made again without forgotten rows, or taken away."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pydantic import ValidationError

from curate.core.atomic import (
    child_names,
    read_bytes,
    read_json_if_there,
    remove,
    remove_tree,
    write_whole,
)
from curate.core.config import ExporterConfig
from curate.core.failpoints import reach
from curate.core.families import UnknownKind, find
from curate.core.location import StorePath
from curate.core.scratch import kept_beside
from curate.core.selection import Selection, list_selections
from curate.core.stage import Progress
from curate.core.store import RunStore, same_json
from curate.core.table import CommittedTable
from curate.exporters._leaving_out import holds

_MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished"
#: Files that are made again by the command that made them.
_PAGES = ("report.html", "result.json")
_MARKS = "marks"
_VIEW = "view"


def plan_exports(
    table: CommittedTable, facts: Mapping[str, Mapping[str, Any]], gone: Mapping[int, Set[int]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Say what is to become of a run's exports.

    Args:
        table: of the run, selections as they were.
        facts: of the selections that change, as they will be.
        gone: the rows, by partition.

    Returns:
        Exports that are made again (folder, selection, kind, options, and whether pictures of it
        went or only its counts), and folders that have to go: unfinished ones, and those that may
        hold a row and cannot be made again, since their selection is of an earlier table.
    """
    again, lost = [], []
    root = table.store.root
    shards = root / "shards"
    for name in (one for one in child_names(shards) if not one.startswith(".")):
        manifest = read_json_if_there(shards / name / _MANIFEST)
        if manifest is None:
            if child_names(shards / name / _UNFINISHED):
                lost.append(f"shards/{name}")
            continue
        made_from = manifest.get("made_from", {})
        selection = _selection_of(table, made_from.get("selection"))
        if selection is not None and selection not in facts:
            continue  # it holds none of the rows
        if selection is not None and _config(made_from) is not None:
            before = Selection.open(root, selection).facts["selected"]
            again.append(
                {
                    "folder": f"shards/{name}",
                    "selection": selection,
                    "kind": made_from["kind"],
                    "options": made_from["options"],
                    "rewrite": before != facts[selection]["selected"],
                }
            )
        elif _may_hold(manifest, gone):
            lost.append(f"shards/{name}")
    return again, lost


def _selection_of(table: CommittedTable, facts: Any) -> str | None:
    """Return the selection of the table as it is now that says this of itself."""
    for name in list_selections(table.store):
        selection = Selection.open(table.store.root, name)
        if same_json(dict(selection.facts), facts) and selection.is_of(table):
            return name
    return None


def _may_hold(manifest: Mapping[str, Any], gone: Mapping[int, Set[int]]) -> bool:
    """Whether an export may hold some rows; one that names no keys of its samples may."""
    shards = manifest.get("shards", ())
    return bool(gone) and any("first" not in shard or holds(shard, gone) for shard in shards)


def _config(made_from: Mapping[str, Any]) -> ExporterConfig | None:
    options = {key: value for key, value in made_from["options"].items() if key != "version"}
    try:
        config = find("exporters", made_from["kind"]).config().model_validate(options)
    except (UnknownKind, ValidationError):
        return None
    return config if isinstance(config, ExporterConfig) else None


def take_away(store: RunStore, folders: Sequence[str], uids: frozenset[str]) -> int:
    """Remove views, pages and exports that have to go, and marks on forgotten pairs; repeatable."""
    root = store.root
    for folder in folders:
        remove_tree(root / folder)
    for name in _PAGES:
        remove(root / name)
    remove_tree(root / _VIEW)
    remove_tree(kept_beside(root / _VIEW))
    remove(root / "table.lance.json")
    remove_tree(root / "table.lance")
    reach("forget.away")
    return _marks(root, uids)


def _marks(root: StorePath, uids: frozenset[str]) -> int:
    written = 0
    for name in child_names(root / _MARKS):
        if not name.endswith(".jsonl") or name.startswith("."):
            continue
        path = root / _MARKS / name
        lines = read_bytes(path).splitlines(keepends=True)
        kept = [line for line in lines if _uid_of(line) not in uids]
        if len(kept) < len(lines):
            data = b"".join(kept)
            write_whole(path, lambda file, data=data: file.write(data))  # type: ignore[misc]
            written += 1
    return written


def _uid_of(line: bytes) -> Any:
    """Return the uid of a mark; None where the line is damaged, which is for its readers to say."""
    try:
        return json.loads(line)["uid"]
    except (ValueError, KeyError, TypeError):
        return None


def make_again(
    root: StorePath,
    table: CommittedTable,
    exports: Sequence[Mapping[str, Any]],
    gone: Mapping[int, set[int]],
    *,
    view: bool,
    progress: Progress,
) -> None:
    """Make the LanceDB view anew, and exports without some rows; may be repeated."""
    if view:
        from curate.sinks.lance import Config

        Config().build().index(table, progress)
        reach("forget.viewed")
    for one in exports:
        selection = Selection.open(root, one["selection"])
        output = root / one["folder"]
        config = _config(one)
        assert config is not None
        mine = gone if one["rewrite"] else {}
        config.build().leave_out(table, selection, output, mine, progress)
        reach("forget.exported")
