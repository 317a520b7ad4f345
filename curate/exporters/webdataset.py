"""WebDataset shards: tar files of image, text and JSON, as img2dataset writes and open_clip reads.

Members of a sample share a key: ``KEY.jpg``, ``KEY.txt`` and ``KEY.json``. The same selection
gives the same bytes (fixed times and owners), shards appear whole or not at all, and a manifest
with checksums is written last.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field

from curate.core import columns
from curate.core.atomic import read_json, write_json, write_whole
from curate.core.config import ExporterConfig
from curate.core.selection import Selection
from curate.core.stage import Exporter, Progress
from curate.core.store import same_json
from curate.core.table import CommittedTable

MANIFEST = "manifest.json"
_SUFFIXES = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp"}
#: Row columns that go into a sample's JSON, where they exist, as img2dataset names them.
_FACTS = (*("uid", "url", "width", "height", "original_width", "original_height", "sha256"),)


class Config(ExporterConfig):
    """Settings of the WebDataset exporter.

    Attributes:
        shard_rows: samples a shard.
        per: ``text`` writes a sample for each selected text, as BLIP mixes web and synthetic
            texts by plain concatenation; ``image`` a sample an image, its first selected text in
            ``.txt`` and all of them in the JSON.
    """

    shard_rows: int = Field(10_000, ge=1, le=1_000_000)
    per: Literal["text", "image"] = "text"

    @property
    def reads(self) -> tuple[str, ...]:
        """The images."""
        return ("image",)

    def build(self) -> WebDatasetExporter:
        """Build the exporter."""
        return WebDatasetExporter(self)


class WebDatasetExporter(Exporter):
    """Writes a selection as WebDataset shards."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def export(
        self, table: CommittedTable, selection: Selection, output: Path, progress: Progress
    ) -> Mapping[str, Any]:
        """Write the shards and their manifest; nothing is done when they are there already.

        A shard of an earlier, unfinished export of the same selection is written over by the same
        bytes; an export of another selection in the folder is replaced.
        """
        wanted = {
            "kind": "webdataset",
            "table": table.fingerprint,
            "selection": dict(selection.facts),
            "shard_rows": self._config.shard_rows,
            "per": self._config.per,
        }
        manifest_path = output / MANIFEST
        if manifest_path.exists():
            there: dict[str, Any] = read_json(manifest_path)
            if same_json(there["made_from"], wanted) and all(
                (output / shard["file"]).exists() for shard in there["shards"]
            ):
                return {**there, "output": str(output)}
            shutil.rmtree(output)
        shards: list[dict[str, Any]] = []
        samples = self._samples(table, selection)
        total = selection.selected if self._config.per == "text" else selection.facts["rows_kept"]
        done = 0
        while True:
            shard = _Shard(samples, self._config.shard_rows)
            path = output / f"{len(shards):05d}.tar"
            if not shard.any:
                break
            size = write_whole(path, shard.write)
            done += shard.count
            digest = _sha256(path)
            shards.append(
                {"file": path.name, "samples": shard.count, "bytes": size, "sha256": digest}
            )
            progress(done, total)
        names = {shard["file"] for shard in shards}
        for path in output.glob("*.tar"):
            if path.name not in names:  # of a larger export that was stopped
                path.unlink()
        manifest = {"made_from": wanted, "samples": done, "shards": shards}
        write_json(manifest_path, manifest)
        return {**manifest, "output": str(output)}

    def _samples(
        self, table: CommittedTable, selection: Selection
    ) -> Iterator[dict[str, str | bytes]]:
        facts = [name for name in _FACTS if name in table.schema.names]
        for rows, texts in selection.pairs(table, ["image", *facts]):
            by_row: dict[int, list[dict[str, Any]]] = {}
            scores = [field.name for field in table.schema if columns.is_score(field)]
            for text in texts.select(
                ["row", "text_index", "text", "source", "model", *scores]
            ).to_pylist():
                by_row.setdefault(text["row"], []).append(text)
            for row in rows.to_pylist():
                own = by_row[row["row"]]
                groups = [[text] for text in own] if self._config.per == "text" else [own]
                for group in groups:
                    yield _sample(row, group, facts, per=self._config.per)


def _sample(
    row: Mapping[str, Any], texts: list[dict[str, Any]], facts: list[str], *, per: str
) -> dict[str, str | bytes]:
    key = f"{row['partition']:08d}{row['row']:06d}"
    if per == "text":
        key += f"{texts[0]['text_index']:03d}"
    described = [{k: v for k, v in text.items() if k != "row"} for text in texts]
    suffix = _SUFFIXES.get(row["image"][:2], "img")
    value = {"key": key, "caption": texts[0]["text"], **{name: row[name] for name in facts}}
    value["texts"] = described
    return {
        "__key__": key,
        suffix: row["image"],
        "txt": texts[0]["text"],
        "json": json.dumps(value, ensure_ascii=False, sort_keys=True).encode(),
    }


class _Shard:
    """One shard's samples, taken from the stream as they are written."""

    def __init__(self, samples: Iterator[dict[str, str | bytes]], limit: int) -> None:
        self._samples = samples
        self._limit = limit
        self._head = next(samples, None)
        self.count = 0

    @property
    def any(self) -> bool:
        """Whether there is a sample at all."""
        return self._head is not None

    def write(self, file: IO[bytes]) -> None:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            sample = self._head
            while sample is not None:
                _add(tar, sample)
                self.count += 1
                sample = next(self._samples, None) if self.count < self._limit else None


def _add(tar: tarfile.TarFile, sample: Mapping[str, str | bytes]) -> None:
    key = str(sample["__key__"])
    for suffix in sorted(name for name in sample if name != "__key__"):
        value = sample[suffix]
        body = value.encode() if isinstance(value, str) else value
        info = tarfile.TarInfo(f"{key}.{suffix}")
        info.size, info.mtime, info.mode = len(body), 0, 0o644
        info.uname = info.gname = "curate"
        tar.addfile(info, io.BytesIO(body))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
