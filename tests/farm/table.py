"""All behaviours of the farm, and the table of them in docs/reliability.md.

``python -m tests.farm.table`` writes the table anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.farm import http_rows, picture_rows, site_rows
from tests.farm.behaviour import Behaviour

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- farm: begin -->", "<!-- farm: end -->"

GROUPS = {
    "Answers": http_rows.STATUS,
    "Connections": http_rows.CONNECTION,
    "Lengths and chunks": http_rows.LENGTH,
    "Content encodings": http_rows.CODING,
    "Headers": http_rows.HEADERS,
    "Redirects": http_rows.REDIRECT,
    "Names and addresses": site_rows.NAMES,
    "TLS": site_rows.TLS,
    "robots.txt": site_rows.ROBOTS,
    "X-Robots-Tag": site_rows.OPT_OUT,
    "Pictures": picture_rows.PICTURES,
    "No pictures": picture_rows.NO_PICTURES,
    "Hashes": picture_rows.HASHES,
}

BEHAVIOURS: tuple[Behaviour, ...] = tuple(row for rows in GROUPS.values() for row in rows)


def ends_of(row: Behaviour) -> tuple[str, ...]:
    """Return what each row of a behaviour must end with."""
    return (row.ends,) if isinstance(row.ends, str) else row.ends


def markdown() -> str:
    """Return the table as it stands in the documentation."""

    def lines() -> Iterator[str]:
        yield f"{len(BEHAVIOURS)} behaviours:"
        for group, rows in GROUPS.items():
            yield f"\n### {group}\n\n| the server, name or body | ends as |\n| --- | --- |"
            for row in rows:
                yield f"| {row.does} | {', '.join(f'`{end}`' for end in ends_of(row))} |"

    return "\n".join(lines())


def renewed(text: str) -> str:
    """Return the page with the table anew."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
