"""Exports in shards: cut by rows or bytes, whole or not at all, resumed, with checksums.

A shard counts when its record is there, which is written after it and holds the place behind its
last sample; ``manifest.json`` is written last and replaces the records. The same selection gives
the same bytes, so an export may be stopped and taken up at any shard.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from curate.core.atomic import (
    child_names,
    exists,
    file_size,
    read_json_if_there,
    remove,
    remove_tree,
    sweep_temporaries,
    write_json,
)
from curate.core.checksums import file_facts
from curate.core.errors import StoreError
from curate.core.failpoints import reach
from curate.core.location import StorePath
from curate.core.samples import Position, Sample, Samples, image_key
from curate.core.scratch import staged
from curate.core.selection import Selection
from curate.core.stage import Exporter, Progress
from curate.core.store import same_json
from curate.core.table import CommittedTable
from curate.exporters._card import write_card
from curate.exporters._samples import SampleConfig

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
_MADE_FROM = "made_from.json"


class ShardedExporter(Exporter):
    """Writes a selection shard by shard; a format says what a shard is.

    Attributes:
        kind: the exporter's kind, as the manifest names it.
        suffix: of a shard's main file.
    """

    kind: ClassVar[str]
    suffix: ClassVar[str]

    def __init__(self, config: SampleConfig) -> None:
        self._options = config

    def place(self, name: str) -> str:
        """Return where a shard's main file goes, relative to the export's folder."""
        return f"{name}.{self.suffix}"

    @abstractmethod
    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return the samples in the form the format needs."""

    @abstractmethod
    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write a shard whole; ``path`` has the main file's name.

        Returns:
            What the manifest says of it beside counts and checksum: JSON values.
        """

    def finish(self, output: StorePath, shards: list[dict[str, Any]]) -> None:
        """Write what the trainer wants beside the shards; told again after a kill."""

    def front_matter(self, shards: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what heads the dataset card beside its licence and sizes."""
        return {}

    def export(
        self, table: CommittedTable, selection: Selection, output: StorePath, progress: Progress
    ) -> Mapping[str, Any]:
        """Write shards, card and manifest; nothing is done when they are there already.

        Raises:
            StoreError: the selection was decided on an earlier table, or a file of somebody
                else stands where the export goes.
        """
        selection.check(table)
        wanted = {
            "kind": self.kind,
            "table": table.fingerprint,
            "selection": dict(selection.facts),
            "options": self._options.identity(),
            **table.added_facts(table.score_names),
        }
        there = _finished(output, wanted)
        if there is not None:
            return there
        shards = self._write_shards(self.samples(table, selection), output, wanted, progress)
        self._remove_others(output, shards)
        self.finish(output, shards)
        manifest = {
            "made_from": wanted,
            "samples": sum(shard["samples"] for shard in shards),
            "images": _count_images(shards),
            "shards": shards,
        }
        front = self.front_matter(shards)
        write_card(output, table, selection, manifest, front, self._options.license)
        reach("export.shards")
        write_json(output / MANIFEST, manifest)
        reach("export.manifest")
        remove_tree(output / UNFINISHED)
        return {**manifest, "output": str(output)}

    def _write_shards(
        self, samples: Samples, output: StorePath, wanted: Mapping[str, Any], progress: Progress
    ) -> list[dict[str, Any]]:
        shards, position = _records(output, wanted)
        stream = _Ahead(samples.after(position), position)
        done = sum(shard["samples"] for shard in shards)
        while stream.next is not None:
            name = f"{len(shards):05d}"
            one = _Shard(stream, self._options.shard_rows, self._options.shard_bytes)
            file = self.place(name)
            with staged(output) as folder:
                more = self.write_shard(folder / file, iter(one))
                assert stream.next is None or one.full, "a format takes all samples of a shard"
                entry = {"file": file, **one.facts(), **file_facts(folder / file), **more}
            write_json(output / UNFINISHED / f"{name}.json", {"shard": entry, "next": stream.at})
            shards.append(entry)
            done += one.samples
            progress(done, len(samples))
        return shards

    def _remove_others(self, output: StorePath, shards: list[dict[str, Any]]) -> None:
        """Remove shards of a larger export that was stopped."""
        keep = {output / shard["file"] for shard in shards}
        folder = (output / self.place("0")).parent
        pattern = PurePosixPath(self.place("[0-9]*")).name
        for path in (folder / name for name in child_names(folder) if fnmatch(name, pattern)):
            if path not in keep:
                remove(path)


class _Ahead:
    """Samples with a look at the one to come; ``at`` is the place of that one."""

    def __init__(self, samples: Iterator[tuple[Sample, Position]], start: Position) -> None:
        self._samples = samples
        self.at, self._behind = start, start
        self.next: Sample | None = None
        self.take()

    def take(self) -> Sample | None:
        """Return the sample to come, and look at the one behind it."""
        taken = self.next
        self.at = self._behind
        self.next, self._behind = next(self._samples, (None, self._behind))
        return taken


class _Shard:
    """One shard's share of the samples, taken as they are written."""

    def __init__(self, stream: _Ahead, rows: int, limit: int | None) -> None:
        self._stream = stream
        self._rows = rows
        self._limit = limit
        self._bytes = 0
        self._keys: list[str] = []
        self._images: set[str] = set()
        self.samples = 0
        self.texts: Counter[str] = Counter()
        self.models: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether the sample to come belongs to the next shard."""
        coming = self._stream.next
        assert coming is not None
        over = self._limit is not None and self._bytes + coming.payload > self._limit
        return self.samples >= self._rows or (self.samples > 0 and over)

    def __iter__(self) -> Iterator[Sample]:
        while self._stream.next is not None and not self.full:
            sample = self._stream.take()
            assert sample is not None
            self.samples += 1
            self._bytes += sample.payload
            self._keys = [*self._keys[:1], sample.key]
            self._images.add(image_key(sample.key))
            self.texts.update(one.source for one in sample.captions)
            self.models.update(one.model for one in sample.captions if one.model)
            yield sample

    def facts(self) -> dict[str, Any]:
        """Return counts and ends; an image counts in each shard that has a text of it."""
        return {
            "samples": self.samples,
            "images": len(self._images),
            "first": self._keys[0],
            "last": self._keys[-1],
            "texts": dict(sorted(self.texts.items())),
            "models": dict(sorted(self.models.items())),
        }


def _count_images(shards: list[dict[str, Any]]) -> int:
    ends = [(image_key(shard["first"]), image_key(shard["last"])) for shard in shards]
    shared = sum(ends[at][1] == ends[at + 1][0] for at in range(len(ends) - 1))
    return sum(int(shard["images"]) for shard in shards) - shared


def _finished(output: StorePath, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an export that is there already; one of something else goes."""
    there: dict[str, Any] | None = read_json_if_there(output / MANIFEST)
    if there is None:
        return None
    same = same_json(there.get("made_from"), dict(wanted))
    if same and all(exists(output / shard["file"]) for shard in there["shards"]):
        remove_tree(output / UNFINISHED)
        return {**there, "output": str(output)}
    remove_tree(output)
    return None


def _records(output: StorePath, wanted: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Position]:
    """Return the shards a stopped export left whole, and the place behind them."""
    if isinstance(output, Path) and output.exists() and not output.is_dir():
        raise StoreError(f"{output} is a file: remove it, or export under another name")
    folder = output / UNFINISHED
    made_from = folder / _MADE_FROM
    before = read_json_if_there(made_from)
    if before is not None and not same_json(before, dict(wanted)):
        remove_tree(output)  # a stopped export of something else
        reach("export.cleared")
        before = None
    if before is None:
        write_json(made_from, dict(wanted))
    sweep_temporaries(output)
    shards: list[dict[str, Any]] = []
    position = Position(0, 0)
    while there := read_json_if_there(folder / f"{len(shards):05d}.json"):
        if file_size(output / there["shard"]["file"]) != there["shard"]["bytes"]:
            break
        shards.append(there["shard"])
        position = Position(*there["next"])
    return shards, position


def json_text(value: Any) -> bytes:
    """Return JSON on one line, keys sorted, as UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()
