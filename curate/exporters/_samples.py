"""Options of every exporter that hands on pictures with texts."""

from __future__ import annotations

from pydantic import Field

from curate.core.config import ExporterConfig
from curate.core.samples import TextsConfig


class SampleConfig(TextsConfig, ExporterConfig):
    """How a selection is cut into shards, and which of its texts go into them.

    Attributes:
        shard_rows: samples a shard, at most.
        shard_bytes: bytes of pictures and texts a shard, at most; a single larger sample gets a
            shard of its own. None for no bound.
        license: what the dataset card says of licences (``cc-by-4.0``, say); None: that they are
            the pictures' own and not known.
    """

    shard_rows: int = Field(10_000, ge=1, le=1_000_000)
    shard_bytes: int | None = Field(None, ge=1)
    license: str | None = Field(None, min_length=1, max_length=100)

    @property
    def reads(self) -> tuple[str, ...]:
        """The images, and the scores the best text is told by."""
        return ("image", *((self.best_by,) if self.best_by else ()))
