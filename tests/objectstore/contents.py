"""Everything a finished run holds, read the same way from a disk and from an object store."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa

from curate.core.atomic import child_names, read_bytes, read_json
from curate.core.lance_storage import lance_address
from curate.core.location import StorePath, store_path
from curate.core.table import CommittedTable
from curate.inspection.run_view import RunView

KEYS = [("partition", "ascending"), ("row", "ascending")]


def contents(place: str | StorePath) -> dict[str, Any]:
    """Return tables by name, the totals without times, and checksums of the exports."""
    root = store_path(place)
    view = RunView.open(root)
    table = CommittedTable.open(root)
    found: dict[str, Any] = {
        "rows": pa.concat_tables(table.each_rows()),
        "ledger": view.ledger(arrow=True).sort_by([*KEYS, ("stage", "ascending")]),
        "canaries": view.canaries(arrow=True),
        "texts": view.texts(arrow=True),
    }
    for name in view.selections:
        found[f"selection {name}"] = view.texts(selection=name, arrow=True)
    for node in table.nodes:
        totals = read_json(table.store.done_file(node))
        found[f"totals {node.folder}"] = {
            key: value for key, value in totals.items() if key not in ("seconds", "notes")
        }
    if "table.lance" in child_names(root):
        found["lance"] = view_of(root).select(found["rows"].column_names)
    for export in child_names(root / "shards"):
        found[f"export {export}"] = checksums(root / "shards" / export)
    return found


def view_of(root: StorePath) -> pa.Table:
    """Return the LanceDB view, in the order of the source."""
    import lancedb

    address, options = lance_address(root)
    database = lancedb.connect(address, storage_options=options or None)
    return database.open_table("table").to_arrow().sort_by(KEYS)


def checksums(folder: StorePath, *, suffixes: tuple[str, ...] = ("",)) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path there."""
    if hasattr(folder, "fs"):
        names = [str(name)[len(folder.path) + 1 :] for name in folder.fs.find(folder.path)]
    else:
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    wanted = sorted(name for name in names if name.endswith(suffixes))
    return {name: hashlib.sha256(read_bytes(folder / name)).hexdigest() for name in wanted}


def differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """Return the names of what two runs do not have in common."""
    return [
        name
        for name in sorted(left.keys() | right.keys())
        if name not in left or name not in right or not _same(left[name], right[name])
    ]


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, pa.Table):
        return bool(left.equals(right))
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
