"""A chart of numbers with their intervals, as SVG: readable by people and by screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_ROW, _TOP, _LEFT, _WIDTH, _RIGHT = 26, 40, 190, 420, 110


class Whisker(NamedTuple):
    """One line of the chart, in the unit of its axis."""

    label: str
    value: float
    low: float
    high: float


def whiskers(rows: Sequence[Whisker], *, title: str, unit: str = "%") -> str:
    """Return an SVG: a dot for each value, a line for its interval, zero marked where in sight.

    Args:
        rows: from top to bottom.
        title: what is shown; also its name for who cannot see it.
        unit: written behind every number.
    """
    low = min((row.low for row in rows), default=0.0)
    high = max((row.high for row in rows), default=1.0)
    margin = (high - low or 1.0) * 0.06
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * _WIDTH

    height = _TOP + _ROW * len(rows) + 10
    said = "; ".join(f"{r.label} {_number(r, unit)}" for r in rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" font-family="sans-serif" '
        f'font-size="13" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}">',
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>",
        f'<rect width="100%" height="100%" fill="#fff"/><text x="10" y="22" '
        f'font-weight="bold" fill="#222">{escape(title)}</text>',
    ]
    if low < 0 < high:
        lines.append(
            f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{_TOP - 8}" y2="{height - 6}" '
            'stroke="#767676" stroke-dasharray="3 3"/>'
        )
    for place, row in enumerate(rows):
        y = _TOP + _ROW * place + 10
        lines += [
            f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end" fill="#222">'
            f"{escape(row.label)}</text>",
            f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" y2="{y}" '
            'stroke="#1f5fa8" stroke-width="2"/>',
            f'<circle cx="{x(row.value):.1f}" cy="{y}" r="4" fill="#1f5fa8"/>',
            f'<text x="{_LEFT + _WIDTH + 8}" y="{y + 4}" fill="#222">{row.value:+.1f}{unit}</text>'
            if low < 0 < high
            else f'<text x="{_LEFT + _WIDTH + 8}" y="{y + 4}" fill="#222">{row.value:.1f}{unit}'
            "</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _number(row: Whisker, unit: str) -> str:
    return f"{row.value:.1f}{unit} ({row.low:.1f} to {row.high:.1f})"
