"""HTML and SVG that cannot be written unescaped: only ``Markup`` is taken as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

#: What HTML allows in no place: control characters but for tab, line feed and carriage return.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_VOID = frozenset({"meta", "img", "br", "hr", "col"})


class Markup(str):
    """Text that is markup already; made by ``element`` and ``joined`` alone."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Return text as markup that shows it, whatever it holds."""
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", text)))


def element(
    name: str, attributes: Mapping[str, object] | None = None, *children: str | Markup
) -> Markup:
    """Return an element; children that are plain text are escaped, attributes always.

    Args:
        name: e.g. ``p``.
        attributes: those whose value is None or False are left out; True stands alone.
        children: in order.

    Example:
        >>> element("p", {"class": "note"}, "1 < 2")
        '<p class="note">1 &lt; 2</p>'
    """
    said = "".join(
        f" {key}" if value is True else f' {key}="{escaped(str(value))}"'
        for key, value in (attributes or {}).items()
        if value is not None and value is not False
    )
    if name in _VOID:
        assert not children, f"<{name}> holds nothing"
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(*children)}</{name}>")


def joined(*children: str | Markup) -> Markup:
    """Return children one after another, plain text escaped."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escaped(child) for child in children)
    )


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str | Markup]], *, numbers: int = 1
) -> Markup:
    """Return a table whose first column names the rows.

    Args:
        caption: what it shows.
        head: names of the columns; "" for one that repeats its neighbour as a bar.
        rows: cells, as many as ``head``.
        numbers: columns from this one on are numbers and stand to the right.
    """
    right = [place >= numbers for place in range(len(head))]
    header = [
        element("th", {"scope": "col", "class": "number" if is_right else None}, name)
        if name
        else element("td")  # a bar beside its number needs no name
        for name, is_right in zip(head, right, strict=True)
    ]
    body = []
    for row in rows:
        first, *others = row
        cells = [
            element("td", {"class": "number" if is_right else None}, cell)
            for cell, is_right in zip(others, right[1:], strict=True)
        ]
        body.append(element("tr", {}, element("th", {"scope": "row"}, first), *cells))
    return element(
        "div",
        {"class": "scroll", "role": "group", "aria-label": caption, "tabindex": "0"},
        element(
            "table",
            {},
            element("caption", {}, caption),
            element("thead", {}, element("tr", {}, *header)),
            element("tbody", {}, *body),
        ),
    )


def paragraph(*children: str | Markup) -> Markup:
    """Return a paragraph."""
    return element("p", {}, *children)


def number(value: float) -> str:
    """Return a count with thousands separators; with decimals where it is no whole number."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def share(part: float, whole: float) -> str:
    """Return a percentage; "" of nothing."""
    return f"{part / whole:.1%}" if whole else ""
