"""The pictures of a report: kept, dropped and borderline pairs, with every text and score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.inspection.gallery import thumbnail
from curate.inspection.report_charts import label
from curate.inspection.report_html import Markup, element, joined, paragraph, table
from curate.inspection.report_pairs import Key, Pair

#: Longest side of a thumbnail, pixels.
_SIDE = 160
#: Characters of a text that are shown, and texts of a picture: a page stays a page.
_LONGEST, _MOST_TEXTS = 400, 12

_GROUPS = {
    "borderline": (
        "Borderline pairs",
        "The pictures whose texts are nearest to the threshold, first on the kept side, then on "
        "the other. Whether these are right says whether the threshold is.",
    ),
    "kept": ("Kept pairs", "Drawn at random from the pictures with a selected text."),
    "dropped": (
        "Dropped pairs",
        "Drawn at random from the pictures whose every text was rejected.",
    ),
    "any": ("Pairs", "Drawn at random from the table; nothing has been selected yet."),
}


def gallery(
    chosen: Mapping[str, Sequence[Key]], pairs: Mapping[Key, Pair], scores: Sequence[str]
) -> Markup | None:
    """Return the pairs by kind; None where the table has no texts.

    Args:
        chosen: keys by kind, as ``PairPicker.chosen``.
        pairs: what was read of each.
        scores: the score columns, in order.
    """
    shown = []
    for name, (title, words) in _GROUPS.items():
        keys = chosen.get(name, [])
        if keys:
            cards = [
                _card(pairs[key], f"{title[:-1]} {n}", scores) for n, key in enumerate(keys, 1)
            ]
            shown += [
                element("h3", {"id": f"pairs-{name}"}, title),
                paragraph(words),
                element("ul", {"class": "pairs"}, *cards),
            ]
    return joined(*shown) if shown else None


def _card(pair: Pair, name: str, scores: Sequence[str]) -> Markup:
    texts = [_text(text, scores) for text in pair.texts[:_MOST_TEXTS]]
    hidden = len(pair.texts) - _MOST_TEXTS
    if hidden > 0:
        texts.append(element("li", {"class": "about"}, f"and {hidden} texts more"))
    return element(
        "li",
        {},
        _picture(pair, name),
        element("ul", {"class": "texts"}, *texts),
        element("p", {"class": "where", "dir": "ltr"}, _short(pair.where, 120))
        if pair.where
        else "",
    )


def _picture(pair: Pair, name: str) -> Markup:
    data = thumbnail(pair.image, _SIDE) if pair.image else ""
    if not data:
        return element("div", {"class": "no-picture"}, "no picture to show")
    first = next((str(text["text"]) for text in pair.texts if text["text"]), "")
    return element("img", {"src": data, "alt": f"{name}. {_short(first, 100)}".strip()})


def _text(text: Mapping[str, Any], scores: Sequence[str]) -> Markup:
    rejected = text["reason"] or text.get("rejected")
    if rejected:
        tag = element("span", {"class": "tag stop"}, f"\N{MULTIPLICATION SIGN} {rejected}")
    elif "rejected" in text:
        tag = element("span", {"class": "tag good"}, "\N{CHECK MARK} selected")
    else:
        tag = joined()
    source = label(str(text["source"] or "unknown")).removesuffix("s")
    known = [
        f"{name}\N{NO-BREAK SPACE}{text[name]:.3f}" for name in scores if text.get(name) is not None
    ]
    about = [part for part in (source, ", ".join(known)) if part]
    body = _short(str(text["text"] or ""), _LONGEST)
    said = body if body else element("em", {}, "(empty text)")
    return element(
        "li",
        {},
        element("p", {"dir": "auto"}, element("bdi", {}, said)),
        element("p", {"class": "about"}, tag, " " if tag else "", " \N{MIDDLE DOT} ".join(about)),
    )


def stopped(entries: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Return examples of rows that stopped, some of each stage and reason."""
    if not entries:
        return None
    rows: list[list[str | Markup]] = [
        [
            f"{entry['stage']}: {entry['reason']}",
            _short(entry["detail"] or "", 160),
            element("bdi", {}, _short(" | ".join(filter(None, entry["texts"] or ())), 160)),
            _short(entry["url"] or "", 120),
        ]
        for entry in entries
    ]
    head = ("stage: reason", "detail", "texts", "address")
    return table("Rows that stopped, drawn at random", head, rows, numbers=len(head))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
