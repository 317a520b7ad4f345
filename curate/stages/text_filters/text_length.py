"""Refuse texts that are too short or too long, in words or in characters."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.core.columns import TEXT_REASONS, list_lengths
from curate.core.config import TextFilterConfig
from curate.core.stage import TextFilter

_BOUNDS = ("min_words", "max_words", "min_chars", "max_chars")


class Config(TextFilterConfig):
    """Refuse texts outside bounds on words and characters.

    A word is what white space separates, so languages written without spaces want bounds on
    characters instead. White space at both ends does not count.

    Attributes:
        min_words: least number of words.
        max_words: greatest number of words.
        min_chars: least number of characters (Unicode code points).
        max_chars: greatest number of characters.
        sources: where texts must come from to be judged; people's own captions are not, unless
            ``human`` is listed.
    """

    min_words: int | None = Field(None, ge=1)
    max_words: int | None = Field(None, ge=1)
    min_chars: int | None = Field(None, ge=1)
    max_chars: int | None = Field(None, ge=1)
    sources: tuple[Literal["web", "synthetic", "human"], ...] = Field(
        ("web", "synthetic"), min_length=1
    )

    @model_validator(mode="after")
    def _bounds(self) -> Config:
        if all(getattr(self, name) is None for name in _BOUNDS):
            raise ValueError(f"give one of {', '.join(_BOUNDS)}: without one nothing is refused")
        for unit in ("words", "chars"):
            least, greatest = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if least is not None and greatest is not None and least > greatest:
                raise ValueError(f"min_{unit} {least} is above max_{unit} {greatest}")
        return self

    def build(self) -> TextLength:
        """Build the filter."""
        return TextLength(self)


class TextLength(TextFilter):
    """Counts words and characters of each text."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __call__(self, rows: pa.Table) -> pa.Array:
        """Return ``too_few_words``, ``too_many_words``, ``too_few_chars`` or ``too_many_chars``.

        Null where the text is within bounds or its source is not judged.
        """
        config = self._config
        texts = _flat(rows["texts"])
        trimmed = pc.fill_null(pc.utf8_trim_whitespace(texts), "")
        chars = pc.utf8_length(trimmed).to_numpy(zero_copy_only=False)
        words = list_lengths(pc.utf8_split_whitespace(trimmed))
        words = np.where(chars == 0, 0, words)
        reasons = np.full(len(texts), None, dtype=object)
        for counts, unit in ((chars, "chars"), (words, "words")):
            least, greatest = getattr(config, f"min_{unit}"), getattr(config, f"max_{unit}")
            if greatest is not None:
                reasons[counts > greatest] = f"too_many_{unit}"
            if least is not None:
                reasons[counts < least] = f"too_few_{unit}"
        judged = pc.is_in(_flat(rows["text_sources"]), pa.array(config.sources))
        reasons[~judged.to_numpy(zero_copy_only=False)] = None
        offsets = np.concatenate([[0], np.cumsum(list_lengths(rows["texts"]))]).astype(np.int32)
        flat = pa.array(reasons, pa.string())
        return pa.ListArray.from_arrays(pa.array(offsets), flat).cast(TEXT_REASONS.type)


def _flat(lists: pa.ChunkedArray) -> pa.Array:
    values = pc.list_flatten(lists)
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
