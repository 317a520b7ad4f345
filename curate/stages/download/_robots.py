"""robots.txt as RFC 9309 has it, read from strangers: linear in time and memory.

Known libraries keep every group of a file for every robot; here a file may be hostile (twenty
thousand names over twenty thousand rules), so only the groups that concern us are kept.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from curate.stages.download._answers import Answer

#: Bytes of a robots.txt that are read; the RFC asks for 500 KiB at least.
MAX_BYTES = 512 * 1024

_TOKEN = re.compile(r"[A-Za-z_-]*")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}|[^!-~]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LONGEST_DELAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One allow or disallow line, its pattern cut at the wildcards.

    Attributes:
        allow: whether matching paths are allowed.
        parts: what stands between the ``*``, normalised.
        anchored: whether the pattern ends in ``$``.
        length: of the normalised pattern, by which rules are ranked.
    """

    allow: bool
    parts: tuple[str, ...]
    anchored: bool
    length: int

    def matches(self, path: str) -> bool:
        """Whether a normalised path begins with the pattern (or is it, when anchored)."""
        first, *rest = self.parts
        if not path.startswith(first):
            return False
        if not rest:
            return not self.anchored or len(path) == len(first)
        at = len(first)
        last = rest.pop() if self.anchored else ""
        for part in rest:
            at = path.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return len(path) - len(last) >= at and path.endswith(last)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an origin's robots.txt says to us.

    Attributes:
        rules: of the groups that concern us, the most particular first, allow before disallow.
        delay_s: seconds between requests (``Crawl-delay``), 0 for none.
        refusal: what every row of the origin ends with when the file could not be had; or None.
        good_until: ``time.monotonic()`` after which the file is asked for again.
    """

    rules: tuple[Rule, ...] = ()
    delay_s: float = 0.0
    refusal: Answer | None = None
    good_until: float = math.inf

    def allows(self, path: str) -> bool:
        """Whether a path with its query may be fetched; the longest matching rule decides."""
        if path.partition("?")[0] == "/robots.txt":
            return True
        normal = normalised(path)
        return next((rule.allow for rule in self.rules if rule.matches(normal)), True)


def parse(text: str, token: str, *, good_until: float = math.inf) -> Rules:
    """Read a robots.txt.

    Args:
        text: the file.
        token: our product token, e.g. ``curate``; groups that name it are joined, and without
            any the groups of ``*`` hold.
        good_until: see ``Rules``.

    Source:
        RFC 9309; ``Crawl-delay`` is a custom of many files that the RFC leaves open.
    """
    groups: dict[str, tuple[list[Rule], list[float]]] = {}
    ours: set[str] = set()
    naming = False
    for line in text.removeprefix("\ufeff").splitlines():
        field, colon, value = line.partition("#")[0].partition(":")
        field, value = field.strip().lower(), value.strip()
        if not colon:
            continue
        if field in ("user-agent", "useragent"):
            ours = ours if naming else set()
            naming = True
            found = _TOKEN.match(value)
            agent = "*" if value.startswith("*") else (found[0].lower() if found else "")
            if agent in ("*", token.lower()):
                ours.add(agent)
                groups.setdefault(agent, ([], []))
        elif field in ("allow", "disallow", "crawl-delay"):
            naming = False
            for agent in ours:
                _add(groups[agent], field, value)
    rules, delays = groups.get(token.lower()) or groups.get("*") or ([], [])
    ranked = sorted(rules, key=lambda rule: (-rule.length, not rule.allow))
    return Rules(tuple(ranked), max(delays, default=0.0), None, good_until)


def _add(group: tuple[list[Rule], list[float]], field: str, value: str) -> None:
    rules, delays = group
    if field == "crawl-delay":
        try:
            delay = float(value)
        except ValueError:
            return
        if 0 <= delay < math.inf:
            delays.append(min(delay, _LONGEST_DELAY_S))
    elif value:
        pattern = normalised(value)
        anchored = pattern.endswith("$")
        # Runs of wildcards mean one; cutting them keeps matching linear.
        parts = re.sub(r"\*+", "*", pattern.removesuffix("$")).split("*")
        rules.append(Rule(field == "allow", tuple(parts), anchored, len(pattern)))


def normalised(path: str) -> str:
    """Return a path with escapes made comparable: needless ones undone, due ones added.

    Source:
        RFC 9309, 2.2.2.

    Example:
        >>> normalised("/%7Ejoe/\u00e4%2f")
        '/~joe/%C3%A4%2F'
    """
    raw = path.encode("utf-8", "replace")
    return _ESCAPE.sub(_escape, raw).decode("ascii")


def _escape(found: re.Match[bytes]) -> bytes:
    text = found[0]
    byte = int(text[1:], 16) if len(text) == 3 else text[0]
    return bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte
