"""Everything a finished run holds, for comparison with another's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.atomic import TEMPORARY_SUFFIX, read_json
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.inspection.run_view import RunView

KEYS = [("partition", "ascending"), ("row", "ascending")]


def outcome(root: Path) -> dict[str, Any]:
    """Read a finished run whole: tables by name, and what its counts and exports say."""
    import lancedb

    view = RunView.open(root)
    table = CommittedTable.open(root)
    rows = pa.concat_tables(table.each_rows())
    lance = lancedb.connect(str(root)).open_table("table").to_arrow()
    return {
        "rows": rows,
        "ledger": view.ledger(arrow=True).sort_by([*KEYS, ("stage", "ascending")]),
        "canaries": view.canaries(arrow=True).sort_by([*KEYS, ("text", "ascending")]),
        "texts": view.texts(arrow=True),
        "selected": view.texts(selection="default", arrow=True),
        **{f"selection {name}": _decisions(root, name) for name in view.selections},
        "lance": lance.sort_by(KEYS).select(rows.column_names),
        "totals": {
            node.folder: _less_time(read_json(table.store.done_file(node))) for node in table.nodes
        },
        "export": {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((root / "shards").rglob("*"))
            if path.is_file()
        },
    }


def differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """Return the names of what two runs do not have in common."""
    return [
        name
        for name in sorted(left.keys() | right.keys())
        if name not in left or name not in right or not _same(left[name], right[name])
    ]


def told(left: dict[str, Any], right: dict[str, Any]) -> str:
    """Tell people what differs: the counts, and the ledger entries that only one run has."""
    entries = [
        {
            (row["partition"], row["row"]): (row["reason"], row["detail"])
            for row in run["ledger"].to_pylist()
        }
        for run in (left, right)
    ]
    alone = [
        {key: one[key] for key in one if one[key] != other.get(key)}
        for one, other in (entries, entries[::-1])
    ]
    counts = [run["rows"].num_rows for run in (left, right)]
    return f"{differences(left, right)}; rows {counts}; entries of one alone {alone}"


def check_alone(root: Path, found: dict[str, Any]) -> None:
    """Check what needs no comparison: each row once, the view is the table, nothing half-made."""
    uids = found["rows"]["uid"].to_pylist()
    assert len(uids) == len(set(uids))
    places = list(zip(*(found["rows"][key].to_pylist() for key, _ in KEYS), strict=True))
    assert places == sorted(set(places))
    stopped = list(zip(*(found["ledger"][key].to_pylist() for key, _ in KEYS), strict=True))
    assert not set(places) & set(stopped)
    assert len(stopped) == len(set(stopped))
    assert _same(found["lance"], found["rows"])
    assert not list(root.rglob(f".*{TEMPORARY_SUFFIX}"))


def _decisions(root: Path, name: str) -> dict[str, Any]:
    """Read a selection, of this table or of an earlier one."""
    selection = Selection.open(root, name)
    parts = (root / "selections" / name / "parts").rglob("*.parquet")
    return {**selection.facts, "parts": [pq.read_table(part) for part in sorted(parts)]}


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, pa.Table):
        # the view knows no nullability, and comparing floats bit by bit keeps NaN equal to itself
        return left.schema.names == right.schema.names and left.to_pylist() == right.to_pylist()
    return bool(left == right)


def _less_time(totals: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in totals.items() if key not in _SPENT}


_SPENT = ("seconds", "notes", "bytes_written")
