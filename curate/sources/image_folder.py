"""Pictures in a local folder, with texts in files or a table beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from curate.core.config import SourceConfig
from curate.core.stage import Source
from curate.sources._folder import IMAGE_SUFFIXES, FolderListing
from curate.sources._folder_table import FolderTable

__all__ = ["IMAGE_SUFFIXES", "Config"]


class Config(SourceConfig):
    """One row per picture below a folder; ``path`` is relative to it. ``load`` opens them.

    With ``txt`` or ``json`` the rows are the pictures found, folder by folder; pictures added
    later become new partitions. With a table the rows are the table's: lines about one picture
    that follow each other become one row with several texts, and pictures the table does not
    name are left out.

    Attributes:
        path: the folder.
        texts: ``txt``: a file of the same stem, one text a line; ``json``: a file of the same
            stem that holds a text, a list of texts, or an object with them under ``text``; or the
            name of a table in the folder (``metadata.csv``, ``.jsonl``, ``.parquet``...); None
            for no texts.
        text: key of the texts in ``json`` files, or column of the table.
        file_name: the table's column of paths, relative to the folder.
        text_source: where the texts came from: ``web``, ``human`` or ``synthetic``.
        extra: further columns of the table to carry along; None for all that hold plain values.
    """

    path: str = Field(min_length=1)
    texts: str | None = Field("txt", min_length=1)
    text: str = Field("text", min_length=1)
    file_name: str = Field("file_name", min_length=1)
    text_source: Literal["web", "human", "synthetic"] = "web"
    extra: tuple[str, ...] | None = None

    @property
    def root(self) -> Path:
        """The folder."""
        return Path(self.path)

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows; not the folder's own place."""
        return {key: value for key, value in super().identity().items() if key != "path"}

    def build(self) -> Source:
        """Build the source."""
        if self.texts is None or self.texts in ("txt", "json"):
            return FolderListing(
                self.root, texts=self.texts, key=self.text, text_source=self.text_source
            )
        return FolderTable(
            self.root,
            table=self.texts,
            file_name=self.file_name,
            text=self.text,
            text_source=self.text_source,
            extra=self.extra,
        )
