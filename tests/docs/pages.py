"""The documentation as data: pages, sections, tables of options, code blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted((ROOT / "docs").glob("*.md")),
    *TUTORIALS,
]

_HEADING = re.compile(r"^(#+) (.*)$")
_OPTION = re.compile(r"^\| `([a-z_]+)` \| (.*?) \| (.+) \|$")
_FILE = re.compile(r"# (\w+\.(?:yaml|py))\n")
_FENCE = re.compile(r"^```(\w*)$")


@dataclass(frozen=True)
class Section:
    """A heading with the text up to the next one, code blocks left out."""

    title: str
    text: str

    @property
    def anchor(self) -> str:
        """The name by which a link finds it."""
        return anchor(self.title)

    @property
    def options(self) -> dict[str, str]:
        """Defaults by option, of the tables that list options."""
        found = {}
        inside = False
        for line in self.text.splitlines():
            inside = line.startswith("| option ") or (inside and line.startswith("|"))
            if inside and (row := _OPTION.match(line)):
                found[row[1]] = row[2]
        return found


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    page: Path
    language: str
    code: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is to be saved as, from its first line."""
        named = _FILE.match(self.code)
        return named[1] if named else None


def anchor(title: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def split(page: Path) -> tuple[list[Section], list[Block]]:
    """Return a page's sections and code blocks, in order."""
    titles, texts, blocks = [""], [[]], []  # type: ignore[var-annotated]
    language: str | None = None
    code: list[str] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = _FENCE.match(line.strip())
        if language is not None:
            if line.strip() == "```":
                blocks.append(Block(page, language, "\n".join(code) + "\n"))
                language, code = None, []
            else:
                code.append(line)
        elif fence:
            language = fence[1]
        elif heading := _HEADING.match(line):
            titles.append(heading[2])
            texts.append([])
        else:
            texts[-1].append(line)
    assert language is None, f"{page.name}: a code block is not closed"
    return [Section(t, "\n".join(x)) for t, x in zip(titles, texts, strict=True)], blocks


def sections(name: str) -> dict[str, Section]:
    """Return a page's sections by title."""
    return {section.title: section for section in split(ROOT / name)[0]}
