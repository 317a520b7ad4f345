"""A piece of HTML that shows itself in a notebook, or is written as a page of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from curate.core.atomic import write_whole


@dataclass(frozen=True)
class Fragment:
    """Markup with its style; a notebook shows it by itself.

    Attributes:
        html: the markup; every text from outside is escaped.
    """

    title: ClassVar[str]

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def save(self, path: str | Path) -> Path:
        """Write one HTML file that needs nothing else."""
        head = f"<!doctype html><meta charset=utf-8><title>{self.title}</title>"
        page = f"{head}{self.html}".encode()
        write_whole(Path(path), lambda file: file.write(page))
        return Path(path)
