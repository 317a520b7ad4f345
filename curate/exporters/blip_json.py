"""Annotations as BLIP's pretraining reads them: lists of ``{"image": PATH, "caption": TEXT}``.

BLIP opens every path as it stands (https://github.com/salesforce/BLIP, data/pretrain_dataset.py),
so give ``root`` or train from the export's folder; its setting ``train_file`` lists the JSON files.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from curate.core.samples import Sample
from curate.exporters._picture_files import AnnotatedExporter
from curate.exporters._samples import SampleConfig


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


class BlipJsonExporter(AnnotatedExporter):
    """Writes pictures and BLIP's annotations."""

    kind = "blip_json"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config

    def entry(self, sample: Sample, path: str) -> dict[str, Any]:
        """Return the entry of a text, as the trainer reads it."""
        root = self._config.root.rstrip("/")
        full = f"{self._config.root[:1] if not root else root + '/'}{path}"
        return {"image": full, "caption": sample.captions[0].text}
