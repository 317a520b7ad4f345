"""A page read back strictly: every element closed, ids unique, nothing fetched, nothing run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "col"}
_ADDRESSES = {"href", "src", "srcset", "action", "data", "poster", "xlink:href", "background"}


@dataclass
class Element:
    """An element with its attributes and the text inside it, children's included."""

    name: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Elements of a page in the order in which they open."""

    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def read(cls, html: str) -> Page:
        """Parse a page; an element that is not closed where it should be is an error."""
        page = cls()
        page.feed(html)
        page.close()
        assert not page._open, f"<{page._open[-1].name}> is never closed"
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Element(tag, {key: value or "" for key, value in attrs})
        self.elements.append(found)
        if tag not in _VOID:
            self._open.append(found)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].name == tag, f"</{tag}> closes <{self._open[-1].name}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, name: str) -> list[Element]:
        """Return the elements of a name."""
        return [element for element in self.elements if element.name == name]

    def ids(self) -> list[str]:
        """Return all ids."""
        return [one.attributes["id"] for one in self.elements if "id" in one.attributes]

    def addresses(self) -> list[str]:
        """Return every address that a browser might follow."""
        return [
            value
            for one in self.elements
            for key, value in one.attributes.items()
            if key in _ADDRESSES
        ]

    def section(self, name: str) -> str:
        """Return the text of a section."""
        (found,) = (one for one in self.all("section") if one.attributes["id"] == name)
        return found.text


def check_page(html: str) -> Page:
    """Check what holds for every report; returns the page."""
    page = Page.read(html)
    names = [element.name for element in page.elements]
    assert len(set(page.ids())) == len(page.ids())
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(names)
    assert [name for name in names if name in ("header", "main", "footer", "h1")] == [
        *("header", "h1", "main", "footer")
    ]
    for address in page.addresses():
        inside = address.startswith("#") and address[1:] in page.ids()
        assert inside or address.startswith("data:image/jpeg;base64,"), address[:80]
    for element in page.elements:
        assert not any(key.startswith("on") or key == "style" for key in element.attributes)
        for named in element.attributes.get("aria-labelledby", "").split():
            assert named in page.ids()
    assert all(image.attributes.get("alt") for image in page.all("img"))
    assert all(head.attributes.get("scope") in ("col", "row") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(name[1]) for name in names if name in ("h1", "h2", "h3", "h4")]
    assert all(later - before <= 1 for before, later in itertools.pairwise(levels)), levels
    return page
