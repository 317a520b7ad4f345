"""Response headers that say what we may do: X-Robots-Tag and Retry-After."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Collection, Sequence

#: Directives of ``X-Robots-Tag`` that carry a value after a colon: not the name of a robot.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opted_out(
    values: Sequence[str], *, token: str | None, disallowed: Collection[str]
) -> str | None:
    """Return the header's line that forbids the use, at most 200 characters; None if none does.

    A line is ``directive, directive`` for everybody or ``robot: directive, directive``. A proxy
    may have joined lines with commas, so a robot's name holds until the next one.
    ``none`` means ``noindex, nofollow``.

    Args:
        values: every ``X-Robots-Tag`` line of a response.
        token: the name that may address us, lower case.
        disallowed: directives that forbid the use, lower case.

    Source:
        https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag, and
        img2dataset's reading of the header.
    """
    for value in values:
        meant = True
        for part in value.split(","):
            name, colon, rest = part.strip().lower().partition(":")
            name = name.strip()
            if colon and name not in _VALUED:
                meant = name in ("*", token)
                name = rest.partition(":")[0].strip()
            implied = name == "none" and "noindex" in disallowed
            if meant and (name in disallowed or implied):
                return value[:200]
    return None


def retry_after_s(value: str | None, *, now: datetime.datetime) -> float | None:
    """Return the seconds a ``Retry-After`` asks for, at least 0; None where it says nothing.

    Args:
        value: the header: seconds, or an HTTP date (RFC 9110, 10.2.3).
        now: with a time zone.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:12]), 10**9))
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return max(0.0, (when - now).total_seconds())
