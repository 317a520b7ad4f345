"""What a row of the farm's table is, and how its pages are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.farm.server import Script, Step

#: Ends with a picture.
DECODED = "decoded"

#: One URL; ``HOST`` is the behaviour's own host, ``PORT_kind`` a port of the farm.
PAGE = "http://HOST/x"


@dataclass(frozen=True)
class Behaviour:
    """One way a server, a name or a body can be, and what must come of it.

    Attributes:
        name: letters, digits and dashes.
        does: what happens, for the table.
        ends: the reason of the row, or ``DECODED``; of several rows, each one's.
        page: script of ``/x``.
        urls: asked for; one row each.
        pages: scripts of further paths.
        port: kind of the farm's port that the host leads to; None: only the farm's names know it.
        asked: how often ``/x`` must have been asked for, where that matters.
        shows: width, height and colour in the middle, of a picture.
        column: value of the list's ``sha256`` column.
    """

    name: str
    does: str
    ends: str | tuple[str, ...]
    page: Script | None = None
    urls: tuple[str, ...] = (PAGE,)
    pages: Mapping[str, Script] = field(default_factory=dict)
    port: str | None = "http"
    asked: int | None = None
    shows: tuple[int, int, tuple[int, int, int]] | None = None
    column: str | None = None


def steps(*all_steps: Step) -> Script:
    """Return the script that always does the same."""
    return lambda seen: iter(all_steps)


def then(*scripts: Script) -> Script:
    """Return the script that does one thing at the first request, another at the next..."""
    return lambda seen: scripts[min(seen, len(scripts) - 1)](seen)


def forever(step: bytes, pause_s: float = 0.0, *, first: bytes = b"") -> Script:
    """Return the script that never ends."""

    def script(seen: int) -> Iterator[Step]:
        yield first
        while True:
            yield step
            if pause_s:
                yield pause_s

    return script


def head(*lines: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer: status, lines, end."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def reply(
    body: bytes = b"", *lines: str, status: str = "200 OK", length: int | None = None
) -> Script:
    """Return the script of a whole answer that leaves the connection open."""
    size = len(body) if length is None else length
    return steps(head(f"Content-Length: {size}", *lines, status=status) + body)


def redirect(location: str, status: str = "302 Found") -> Script:
    """Return the script of a redirect."""
    return reply(b"", f"Location: {location}", status=status)


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> Script:
    """Return the script of a chunked answer."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return steps(head("Transfer-Encoding: chunked") + body + end)


def paced(*chunks: bytes, pause_s: float) -> Script:
    """Return the script that waits before every part."""
    return steps(*(step for chunk in chunks for step in (pause_s, chunk)))
