"""Pictures as files of their own, a folder a shard, for trainers that open paths from JSON."""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.core.atomic import flush_directory, storage_errors, write_whole
from curate.core.checksums import folder_digest
from curate.core.samples import Sample, Samples, image_key
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._samples import SampleConfig
from curate.exporters._shards import ShardedExporter, json_text

FOLDER = "images"


class AnnotatedExporter(ShardedExporter):
    """Writes pictures, and an entry for each text in a list beside them."""

    suffix = "json"

    def __init__(self, config: SampleConfig) -> None:
        super().__init__(config)
        self._sampling = config

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text."""
        return Samples(table, selection, self._sampling, "text")

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write a folder of pictures and the list that names them."""
        return write_annotated(path, samples, self.entry)

    @abstractmethod
    def entry(self, sample: Sample, path: str) -> Mapping[str, Any]:
        """Return the entry of a text, given its picture's path relative to the export's folder."""


def write_annotated(
    path: Path,
    samples: Iterator[Sample],
    entry: Callable[[Sample, str], Mapping[str, Any]],
) -> dict[str, Any]:
    """Write a shard's pictures, then its JSON list: an entry a line.

    A picture with several texts is written once. The folder gets its name when all pictures are
    in it and on disk.

    Args:
        path: the JSON file; the pictures go to ``images/STEM`` beside it.
        samples: the shard's samples.
        entry: the entry of a sample, given its picture's path relative to the export's folder.

    Returns:
        The pictures' facts, under ``pictures``.
    """
    folder = path.parent / FOLDER / path.stem
    temporary = folder.with_name(f".{folder.name}.folder")
    written: dict[str, str] = {}
    lines: list[bytes] = []
    with storage_errors(folder):
        for old in (temporary, folder):
            shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir(parents=True)
        for sample in samples:
            name = f"{image_key(sample.key)}.{sample.suffix}"
            if name not in written:
                (temporary / name).write_bytes(sample.image)
                written[name] = hashlib.sha256(sample.image).hexdigest()
            lines.append(json_text(entry(sample, f"{FOLDER}/{path.stem}/{name}")))
        os.sync()  # once for all pictures: a flush of each would take most of the time
        size = sum((temporary / name).stat().st_size for name in written)
        temporary.rename(folder)
        flush_directory(folder.parent)
    write_whole(path, lambda file: file.write(json_list(lines)))
    facts = {"files": len(written), "bytes": size, "sha256": folder_digest(written)}
    return {"pictures": {"folder": f"{FOLDER}/{path.stem}", **facts}}


def json_list(lines: list[bytes]) -> bytes:
    """Return entries as a JSON list, one a line."""
    return b"[\n" + b",\n".join(lines) + b"\n]\n"
