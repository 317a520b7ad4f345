from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stages.download._headers import opted_out, retry_after_s

DISALLOWED = ("noai", "noimageai", "noindex", "noimageindex", "noml")
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("values", "out"),
    [
        ([], False),
        (["all"], False),
        (["NOAI"], True),
        (["nofollow , noml"], True),
        (["none"], True),
        (["otherbot: noai"], False),
        (["Curate : noai"], True),
        (["*: noai"], True),
        (["otherbot: nofollow, noai"], False),
        (["otherbot: noindex, curate: nofollow, noai"], True),
        (["nofollow", "otherbot: all", "noimageindex"], True),
        (["noai, unavailable_after: 1 Jan 2030 10:00:00 GMT"], True),
        (["unavailable_after: 1 Jan 2030 10:00:00 GMT, noai"], True),
        (["noaid, xnoai, no-ai"], False),
    ],
)
def test_who_forbids_what(values: list[str], out: bool) -> None:
    said = opted_out(values, token="curate", disallowed=DISALLOWED)
    assert (said is not None) is out
    assert opted_out(values, token="curate", disallowed=()) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 1e9),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        *((bad, None) for bad in ("", None, "-1", "1.5", "soon", "\u0661", "1 Jan 99999")),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW) == seconds


@given(st.text())
def test_any_header_is_read(value: str) -> None:
    seconds = retry_after_s(value, now=NOW)
    assert seconds is None or 0 <= seconds < 10**12
    said = opted_out([value], token="curate", disallowed=DISALLOWED)
    assert said is None or value.startswith(said)
    if said is not None:
        assert "no" in value.lower()
