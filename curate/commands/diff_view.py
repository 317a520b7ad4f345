"""Two selections side by side, as people read it."""

from __future__ import annotations

from rich.console import Console, JustifyMethod
from rich.table import Table

from curate.inspection.selection_diff import CHANGED, QUANTILES, SIDES, ChangedPair, SelectionDiff

_WIDTH = 110
_LONGEST_TEXT = 200


def print_diff(console: Console, said: SelectionDiff) -> None:
    """Print counts, the reasons and scores of what changes sides, and some of the pairs."""
    titles = {
        "both": "kept in both",
        "first": f"{said.first} alone",
        "second": f"{said.second} alone",
        "neither": "in neither",
    }
    console.print(f"{said.first} and {said.second}", style="bold", highlight=False)
    console.print(_counts(said, titles), width=_WIDTH, crop=False)
    console.print(
        f"\npictures with a text: {said.rows['both']:,} in both, {said.rows['first']:,} in "
        f"{said.first} alone, {said.rows['second']:,} in {said.second} alone",
        highlight=False,
    )
    for side, other in zip(CHANGED, (said.second, said.first), strict=True):
        for reason, count in sorted(said.reasons[side].items(), key=lambda one: -one[1]):
            console.print(f"{titles[side]}: {other} rejects {count:,} as {reason}", highlight=False)
    for name, sides in said.scores.items():
        console.print(f"\n{name}", style="bold", highlight=False)
        table = _table("", "texts", "scored", *(f"{share:.0%}" for share in QUANTILES))
        for side, scores in sides.items():
            values = [f"{value:.3f}" for value in scores.quantiles]
            table.add_row(f"  {titles[side]}", f"{scores.texts:,}", f"{scores.scored:,}", *values)
        console.print(table, width=_WIDTH, crop=False)
    for side in CHANGED:
        pairs = [pair for pair in said.samples if pair.side == side]
        if pairs:
            console.print(f"\n{titles[side]}, for example", style="bold", highlight=False)
        for pair in pairs:
            console.print(f"  {_line(pair)}", highlight=False)


def _counts(said: SelectionDiff, titles: dict[str, str]) -> Table:
    sources = sorted({source for counts in said.counts.values() for source in counts})
    table = _table("texts", *sources, "in all")
    for side in SIDES.values():
        counts = said.counts[side]
        numbers = [f"{counts.get(source, 0):,}" for source in sources]
        table.add_row(f"  {titles[side]}", *numbers, f"{said.on_side(side):,}")
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(names):
        side: JustifyMethod = "right" if place else "left"
        table.add_column(name, justify=side, no_wrap=True)
    return table


def _line(pair: ChangedPair) -> str:
    """Return a pair on one line; what a stranger wrote cannot move the cursor."""
    text = "".join(letter if letter.isprintable() else " " for letter in pair.text)
    text = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    scores = ", ".join(
        f"{name} {value:.3f}" for name, value in pair.scores.items() if value is not None
    )
    return f"{pair.uid[:12]} {pair.source}: {text} ({pair.reason}; {scores or 'no score'})"
