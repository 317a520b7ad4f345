"""WebDataset tars in general: pictures with .txt or .json beside them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from curate.core import columns
from curate.core.config import SourceConfig
from curate.sources._packed import PackedSource, Packing, path_in_shard


class Config(SourceConfig):
    """One row per sample of a tar; ``unpack`` takes the pictures out of it.

    Each tar is indexed once, into the run's folder; its pictures stay where they are. A sample
    without a picture stops with ``no_picture``; where a tar ends too soon, the samples before it
    are rows and one more stops with ``truncated_shard``.

    Attributes:
        path: tar, glob or folder of tars, or a list of these; local or an fsspec URL.
        texts: ``txt``: the member ``.txt`` is the text; ``json``: the texts stand in the member
            ``.json``, a string or a list of strings under ``text``; None for no texts.
        text: key of the texts in ``json`` members.
        text_source: where the texts came from: ``web``, ``human`` or ``synthetic``.
        extra: keys of the ``json`` members to carry along, as strings; None for all of the first
            sample's that hold plain values. A name that curate uses itself gets ``source_``
            before it.
    """

    path: str | tuple[str, ...] = Field(min_length=1)
    texts: Literal["txt", "json"] | None = "txt"
    text: str = Field("caption", min_length=1)
    text_source: Literal["web", "human", "synthetic"] = "web"
    extra: tuple[str, ...] | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows; not the path, for tars are known by name and content."""
        return {key: value for key, value in super().identity().items() if key != "path"}

    def build(self) -> PackedSource:
        """Build the source."""
        return PackedSource(
            Packing(
                paths=(self.path,) if isinstance(self.path, str) else self.path,
                place=columns.PATH,
                place_of=path_in_shard,
                texts=self.texts,
                text=self.text,
                text_source=self.text_source,
                extra=self.extra,
                passed_over=frozenset({"key", "__key__"}),
            )
        )
