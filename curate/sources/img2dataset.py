"""What img2dataset downloaded: its tars or Parquet files, pictures included."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from curate.core.config import SourceConfig
from curate.core.stage import Source
from curate.sources._downloaded import DownloadedTables, downloaded_tars


class Config(SourceConfig):
    """One row per picture that img2dataset wrote; ``unpack`` takes the pictures out.

    A row is named by its URL and texts, so it has the same uid as in the list it was downloaded
    from. What is in Parquet but was not downloaded stops with ``not_downloaded``. (Its third
    format, ``files``, is an ``image_folder``.)

    Attributes:
        path: the output folder, a file or a glob, or a list of these; local or an fsspec URL.
        format: img2dataset's ``output_format``: ``webdataset`` or ``parquet``.
        text_source: where the captions came from: ``web``, ``human`` or ``synthetic``.
        extra: further columns to carry along; None for all that hold plain values. From tars they
            come as strings. A name that curate uses itself gets ``source_`` before it.
    """

    path: str | tuple[str, ...] = Field(min_length=1)
    format: Literal["webdataset", "parquet"] = "webdataset"
    text_source: Literal["web", "human", "synthetic"] = "web"
    extra: tuple[str, ...] | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows; not the path, for files are known by name and content."""
        return {key: value for key, value in super().identity().items() if key != "path"}

    def build(self) -> Source:
        """Build the source."""
        paths = (self.path,) if isinstance(self.path, str) else self.path
        if self.format == "parquet":
            return DownloadedTables(paths, text_source=self.text_source, extra=self.extra)
        return downloaded_tars(paths, text_source=self.text_source, extra=self.extra)
