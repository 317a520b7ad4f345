"""A small table of real pictures with scored texts, its selections, and exports of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from curate.core.columns import HEIGHT, IMAGE, SHA256, URL, WIDTH
from curate.core.families import find
from curate.core.selection import Selection, select
from curate.core.table import CommittedTable
from curate.stages.selectors.threshold import Config as ThresholdConfig
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import encoded, jpeg, scene

EXTRA = [URL, IMAGE, WIDTH, HEIGHT, SHA256]


def row(number: int, *texts: Text, body: bytes | None = None) -> Row:
    image = jpeg(number) if body is None else body
    facts = {"width": 96, "height": 72, "sha256": hashlib.sha256(image).hexdigest()}
    return Row(texts, extra={"image": image, "url": f"http://x.test/{number}.jpg", **facts})


PARTITIONS = [
    [
        row(0, Text("a red dog", 0.9), Text("no", 0.1), Text("ein Hund, ä", 0.8, "synthetic")),
        row(1, Text("no", 0.1)),
    ],
    [],
    [
        row(2, Text("two birds", 0.7), body=encoded(scene(2), "PNG")),
        row(3, Text("a house", 0.6), body=encoded(scene(3), "WEBP", lossless=True)),
        row(4, Text("three cats", 0.5)),
    ],
]


def small_table(root: Path) -> CommittedTable:
    """Commit a run of five pictures, four of which have a good text, one of them two."""
    return commit_table(root, PARTITIONS, extra=EXTRA)


def chosen(table: CommittedTable, least: float = 0.5) -> Selection:
    config = ThresholdConfig(column="x_itm", min=least)
    selection, _ = select(table, config.build(), {"min": least}, name="default")
    return selection


def export(
    kind: str, table: CommittedTable, selection: Selection, output: Path, **options: Any
) -> dict[str, Any]:
    """Export by kind; returns the manifest."""
    exporter = find("exporters", kind).config()(**options).build()  # type: ignore[attr-defined]
    return dict(exporter.export(table, selection, output, lambda done, total: None))


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return files' bytes by name, without what Lance writes with times and random names."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if not {"_versions", "_transactions"} & set(path.parts)
    }
