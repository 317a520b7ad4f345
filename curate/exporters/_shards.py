"""Exports in shards: cut by rows or bytes, whole or not at all, resumed, with checksums.

A shard counts when its record is there, which is written after it and holds the place behind its
last sample; ``manifest.json`` is written last and replaces the records. The same selection gives
the same bytes, so an export may be stopped and taken up at any shard.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Set
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
from curate.exporters._cuts import Ahead, ShardCut
from curate.exporters._leaving_out import holds, stay
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
        wanted = self._wanted(table, selection)
        there = _finished(output, wanted)
        if there is not None:
            return there
        shards = self._write_shards(self.samples(table, selection), output, wanted, progress)
        self._remove_others(output, shards)
        return self._complete(table, selection, output, {"made_from": wanted}, shards)

    def leave_out(
        self,
        table: CommittedTable,
        selection: Selection,
        output: StorePath,
        gone: Mapping[int, Set[int]],
        progress: Progress,
    ) -> Mapping[str, Any]:
        """Write the shards anew that hold rows which have left the table; see ``Exporter``.

        All others stay as they are, and the cuts between shards; where a shard would be left
        empty, the whole export is cut anew.
        """
        there = read_json_if_there(output / MANIFEST)
        if there is None:
            return self.export(table, selection, output, progress)
        samples = self.samples(table, selection)
        shards: list[dict[str, Any]] = there["shards"]
        touched = [place for place, shard in enumerate(shards) if holds(shard, gone)]
        for done, place in enumerate(touched, start=1):
            shard = self._left(samples, shards[place], output)
            if shard is None:
                return self.export(table, selection, output, progress)
            shards[place] = shard
            reach("export.left")
            progress(done, len(touched))
        left_out = there["samples"] - sum(shard["samples"] for shard in shards)
        left_out += there.get("left_out", 0)
        facts = {"made_from": self._wanted(table, selection)}
        facts |= {"left_out": left_out} if left_out else {}
        return self._complete(table, selection, output, facts, shards)

    def _left(
        self, samples: Samples, shard: Mapping[str, Any], output: StorePath
    ) -> dict[str, Any] | None:
        """Write a shard anew; returns its entry, or None where no sample would be left."""
        stream = Ahead(stay(samples, shard), Position(0, 0))
        if stream.next is None:
            return None
        if "pictures" in shard:  # a folder of files, of which some have to go
            remove_tree(output / shard["pictures"]["folder"])
        one = ShardCut(stream, int(shard["samples"]), None)
        with staged(output) as folder:
            more = self.write_shard(folder / shard["file"], iter(one))
            facts = file_facts(folder / shard["file"])
        return {"file": shard["file"], **one.facts(), **facts, **more}

    def _wanted(self, table: CommittedTable, selection: Selection) -> dict[str, Any]:
        """Return what an export is made from."""
        return {
            "kind": self.kind,
            "table": table.fingerprint,
            "selection": dict(selection.facts),
            "options": self._options.identity(),
            **table.added_facts(table.score_names),
        }

    def _complete(
        self,
        table: CommittedTable,
        selection: Selection,
        output: StorePath,
        facts: Mapping[str, Any],
        shards: list[dict[str, Any]],
    ) -> Mapping[str, Any]:
        """Write what stands beside the shards, the manifest last; returns it."""
        self.finish(output, shards)
        manifest = {
            **facts,
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
        stream = Ahead(samples.after(position), position)
        done = sum(shard["samples"] for shard in shards)
        while stream.next is not None:
            name = f"{len(shards):05d}"
            one = ShardCut(stream, self._options.shard_rows, self._options.shard_bytes)
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
