"""Keep texts by where they came from, whatever they score: the raw set, or captions alone.

The controls of an experiment are selections too: raw web texts (as ALIGN trains, arXiv
2102.05918), or every synthetic caption unfiltered ("C" in BLIP's table 1, arXiv 2201.12086).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from curate.core.config import SelectorConfig
from curate.core.selection_among import Among


class Config(SelectorConfig):
    """Keep every eligible text of some sources.

    Attributes:
        keep: sources whose texts are kept.
    """

    keep: tuple[Literal["web", "synthetic", "human"], ...] = Field(
        ("web", "synthetic", "human"), min_length=1
    )

    def build(self) -> Among:
        """Build the selector: what a source's texts score is not looked at."""
        return Among(None, self.keep)
