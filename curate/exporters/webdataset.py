"""WebDataset shards: tar files of image, text and JSON, as img2dataset writes and open_clip reads.

Members of a sample share a key: ``KEY.jpg``, ``KEY.txt`` and ``KEY.json``. Beside the shards
stands ``sizes.json``, from which open_clip takes the number of samples.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from curate.core.atomic import write_json, write_whole
from curate.core.location import StorePath
from curate.core.samples import Sample, Samples, caption_facts
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._samples import SampleConfig
from curate.exporters._shards import MANIFEST, ShardedExporter, json_text

__all__ = ["MANIFEST", "Config", "WebDatasetExporter"]


class Config(SampleConfig):
    """Settings of the WebDataset exporter.

    Attributes:
        per: ``text`` writes a sample for each text, as BLIP mixes web and synthetic texts by
            plain concatenation; ``image`` a sample an image, its first text in ``.txt`` and all
            of them, with scores and weights, in the JSON.
    """

    per: Literal["text", "image"] = "text"

    def build(self) -> WebDatasetExporter:
        """Build the exporter."""
        return WebDatasetExporter(self)


class WebDatasetExporter(ShardedExporter):
    """Writes a selection as WebDataset shards."""

    kind = "webdataset"
    suffix = "tar"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text, or an image."""
        return Samples(table, selection, self._config, self._config.per)

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write a tar with fixed times and owners."""

        def write(file: IO[bytes]) -> None:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for sample in samples:
                    _add(tar, sample)

        write_whole(path, write)
        return {}

    def finish(self, output: StorePath, shards: list[dict[str, Any]]) -> None:
        """Write how many samples each shard has, where open_clip looks for it."""
        write_json(output / "sizes.json", {shard["file"]: shard["samples"] for shard in shards})


def _add(tar: tarfile.TarFile, sample: Sample) -> None:
    first = sample.captions[0]
    facts = {
        "key": sample.key,
        "caption": first.text,
        "uid": sample.uid,
        **sample.facts,
        "texts": [caption_facts(one) for one in sample.captions],
    }
    members = {sample.suffix: sample.image, "json": json_text(facts), "txt": first.text.encode()}
    for suffix, body in sorted(members.items()):
        info = tarfile.TarInfo(f"{sample.key}.{suffix}")
        info.size, info.mtime, info.mode = len(body), 0, 0o644
        info.uname = info.gname = "curate"
        tar.addfile(info, io.BytesIO(body))
