"""Keep texts by where they came from, whatever they score: the raw set, or captions alone.

The controls of an experiment are selections too: raw web texts (as ALIGN trains, arXiv
2102.05918), or every synthetic caption unfiltered ("C" in BLIP's table 1, arXiv 2201.12086).
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.core.config import SelectorConfig
from curate.core.stage import Selector

OTHER_SOURCE = "other_source"


class Config(SelectorConfig):
    """Keep every eligible text of some sources.

    Attributes:
        keep: sources whose texts are kept.
    """

    keep: tuple[Literal["web", "synthetic", "human"], ...] = Field(
        ("web", "synthetic", "human"), min_length=1
    )

    def build(self) -> BySource:
        """Build the selector."""
        return BySource(self)


class BySource(Selector):
    """Reads no score."""

    def __init__(self, config: Config) -> None:
        self._keep = pa.array(config.keep, pa.string())

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected) or ``other_source`` per text."""
        kept = pc.is_in(texts["source"], value_set=self._keep)
        if isinstance(kept, pa.ChunkedArray):
            kept = kept.combine_chunks()
        return pc.if_else(kept, pa.scalar(None, pa.string()), pa.scalar(OTHER_SOURCE))
