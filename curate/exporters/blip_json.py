"""Annotations as BLIP's pretraining reads them: lists of ``{"image": PATH, "caption": TEXT}``.

BLIP opens every path as it stands (https://github.com/salesforce/BLIP, data/pretrain_dataset.py),
so give ``root`` or train from the export's folder; its setting ``train_file`` lists the JSON files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from curate.core.samples import Sample, Samples
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.exporters._picture_files import write_annotated
from curate.exporters._samples import SampleConfig
from curate.exporters._shards import ShardedExporter


class Config(SampleConfig):
    """Settings of the exporter for BLIP: an entry for each text, as BLIP mixes them.

    Attributes:
        root: written before every path, with a ``/`` between; empty for paths relative to the
            export's folder.
    """

    knows_weights: ClassVar[bool] = False

    root: str = Field("", max_length=4096)

    def build(self) -> BlipJsonExporter:
        """Build the exporter."""
        return BlipJsonExporter(self)


class BlipJsonExporter(ShardedExporter):
    """Writes pictures and BLIP's annotations."""

    kind = "blip_json"
    suffix = "json"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config

    def samples(self, table: CommittedTable, selection: Selection) -> Samples:
        """Return a sample a text."""
        return Samples(table, selection, self._config, "text")

    def write_shard(self, path: Path, samples: Iterator[Sample]) -> Mapping[str, Any]:
        """Write a folder of pictures and the list that names them."""
        return write_annotated(path, samples, self._entry)

    def _entry(self, sample: Sample, path: str) -> dict[str, Any]:
        root = self._config.root.rstrip("/")
        full = f"{self._config.root[:1] if not root else root + '/'}{path}"
        return {"image": full, "caption": sample.captions[0].text}
