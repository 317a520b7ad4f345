"""Charts as inline SVG: no script, no font, no request. Every chart has a table beside it.

Colours come from the page's style by class, so that they change with light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from curate.core.columns import HUMAN, SYNTHETIC, WEB
from curate.inspection.report_cuts import Cut
from curate.inspection.report_html import Markup, element, joined, number, share
from curate.inspection.report_tally import CANARY, Counts, Floats

#: Units of the drawing; the page scales it to its width.
_WIDTH, _LEFT, _PANEL, _GAP, _HEAD, _FOOT = 560, 8, 64, 30, 22, 36
_TICKS = 5
#: What series are called; each also has a colour of its own.
_LABELS = {
    WEB: "web texts",
    SYNTHETIC: "synthetic captions",
    HUMAN: "human texts",
    CANARY: "planted mismatches (canaries)",
}


def label(series: str) -> str:
    """Return what the texts of a source, or the canaries, are called."""
    return _LABELS.get(series, f"{series} texts")


def bar(part: float, whole: float, kind: str = "") -> Markup:
    """Return a bar as long as a share, for a table's cell; the cell beside it says the number."""
    width = 100 * min(part / whole, 1) if whole else 0
    return element(
        "svg",
        {
            "class": f"bar {kind}".strip(),
            "viewBox": "0 0 100 10",
            "preserveAspectRatio": "none",
            "aria-hidden": "true",
        },
        element("rect", {"class": "rail", "width": 100, "height": 10}),
        element("rect", {"class": "fill", "width": f"{width:.2f}", "height": 10}),
    )


def panels(
    name: str,
    title: str,
    counts: Mapping[str, Counts],
    edges: Floats | Sequence[float],
    *,
    axis: str,
    cuts: Sequence[Cut] = (),
    description: str,
) -> Markup:
    """Return histograms one below the other over one axis, each as high as its greatest bin.

    Args:
        name: of the drawing, unique on the page.
        title: what it shows.
        counts: by series, one number a bin.
        edges: of the bins, one more than there are.
        axis: what the axis is, with its unit.
        cuts: thresholds to draw.
        description: the drawing in words.
    """
    height = _HEAD + len(counts) * (_PANEL + _GAP) + _FOOT - _GAP
    low, high = float(edges[0]), float(edges[-1])

    def across(value: float) -> float:
        inside = min(max(value, low), high)
        return _LEFT + (inside - low) / (high - low) * (_WIDTH - 2 * _LEFT)

    drawn: list[Markup] = []
    named: set[Cut] = set()
    for place, (series, found) in enumerate(counts.items()):
        bottom = _HEAD + place * (_PANEL + _GAP) + _PANEL
        words = f"{label(series)}: {number(int(found.sum()))}"
        drawn.append(_text(_LEFT, bottom - _PANEL - 6, words, "label"))
        drawn.extend(_bars(found, edges, across, bottom, series))
        drawn.append(_line(_LEFT, bottom, _WIDTH - _LEFT, bottom, "axis"))
        for cut in cuts:
            if low <= cut.value <= high and cut.source in (None, series):
                drawn.append(_cut(cut, across(cut.value), bottom, words=cut not in named))
                named.add(cut)
    drawn.extend(_ticks(low, high, across, height - _FOOT))
    drawn.append(_text(_WIDTH / 2, height - 4, axis, "tick middle"))
    return element(
        "div",
        {"class": "scroll", "role": "group", "aria-label": title, "tabindex": "0"},
        element(
            "svg",
            {
                "class": "chart",
                "viewBox": f"0 0 {_WIDTH} {height}",
                "role": "img",
                "aria-labelledby": f"{name}-title {name}-text",
            },
            element("title", {"id": f"{name}-title"}, title),
            element("desc", {"id": f"{name}-text"}, description),
            *drawn,
        ),
    )


def _bars(
    found: Counts,
    edges: Floats | Sequence[float],
    across: Callable[[float], float],
    bottom: float,
    series: str,
) -> list[Markup]:
    most = max(int(found.max()), 1)
    out = []
    for place, count in enumerate(found.tolist()):
        if not count:
            continue
        left, right = across(float(edges[place])), across(float(edges[place + 1]))
        tall = max(_PANEL * count / most, 1.0)  # one text among a million is still to be seen
        out.append(
            element(
                "rect",
                {
                    "class": f"series {_class(series)}",
                    "x": f"{left + 0.5:.1f}",
                    "y": f"{bottom - tall:.1f}",
                    "width": f"{max(right - left - 1, 0.5):.1f}",
                    "height": f"{tall:.1f}",
                },
                element(
                    "title",
                    {},
                    f"{float(edges[place]):.3g} to {float(edges[place + 1]):.3g}: "
                    f"{number(count)} ({share(count, int(found.sum()))})",
                ),
            )
        )
    return out


def _cut(cut: Cut, place: float, bottom: float, *, words: bool) -> Markup:
    """Draw a threshold; its number is said once, beside the first row of bars."""
    line = _line(place, bottom - _PANEL - 4, place, bottom, "threshold")
    if not words:
        return line
    at_the_end = place > _WIDTH * 0.7
    return joined(
        line,
        _text(
            place + (-5 if at_the_end else 5),
            bottom - _PANEL + 7,
            f"{'kept from' if cut.bound == 'least' else 'kept up to'} {cut.value:.3g}",
            "threshold-label end" if at_the_end else "threshold-label",
        ),
    )


def _ticks(low: float, high: float, across: Callable[[float], float], top: float) -> list[Markup]:
    out = []
    for value in round_values(low, high):
        place = across(value)
        side = "tick" if place < 2 * _LEFT else "tick middle"
        out.append(_line(place, top, place, top + 4, "axis"))
        said = _text(place, top + 16, f"{value:.6g}", side if place < _WIDTH - 16 else "tick end")
        out.append(said)
    return out


def round_values(low: float, high: float) -> list[float]:
    """Return two to seven values between bounds, ascending: 1, 2 or 5 times a power of ten apart.

    Args:
        low: less than ``high``.
        high: the other bound.

    Example:
        >>> round_values(-0.313, 0.699)
        [-0.2, 0.0, 0.2, 0.4, 0.6]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    factor = next(one for one in (1, 2, 5, 10) if one * power * (_TICKS + 1) > high - low)
    step = factor * power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) + 0.0 for place in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element(
        "line",
        {"class": kind, "x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"},
    )


def _text(x: float, y: float, words: str, kind: str) -> Markup:
    return element("text", {"class": kind, "x": f"{x:.1f}", "y": f"{y:.1f}"}, words)


def _class(series: str) -> str:
    """Return a class for a series; a source's name comes from the run, so only known ones."""
    return series if series in _LABELS else "other"
