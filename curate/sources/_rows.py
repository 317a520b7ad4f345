"""Rows as a source gives them: identity, texts and extra columns, faults told, none dropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import pyarrow as pa

from curate.core.columns import KEYS, STANDARD, TEXT_FIELDS, UID

NOT_UTF8, UNREADABLE_ROW, NO_URL = "not_utf8", "unreadable_row", "no_url"


def uid(place: str | None, texts: Sequence[str]) -> str:
    """Return the row's identity: 128-bit BLAKE2b over its address and its texts, 32 hex digits.

    Every part is preceded by its length, so no two different rows spell the same bytes.

    Args:
        place: URL, or path relative to the source's root.
        texts: the source's texts, in order.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (place or "", *texts):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def kept_texts(texts: Iterable[str | None]) -> list[str]:
    """Return the texts that say something: not null, not blank."""
    return [text for text in texts if text is not None and text.strip()]


def text_columns(texts: Sequence[Sequence[str]], source: str) -> list[pa.Array]:
    """Return ``texts`` and its three parallel columns, in the order of ``TEXT_FIELDS``."""
    values = (
        texts,
        [[source] * len(row) for row in texts],
        [[None] * len(row) for row in texts],
        [[None] * len(row) for row in texts],
    )
    return [pa.array(value, field.type) for value, field in zip(values, TEXT_FIELDS, strict=True)]


def base_fields(place: pa.Field) -> list[pa.Field]:
    """Return the fields every source gives, around its own name of a row's place."""
    return [UID, place, *TEXT_FIELDS]


def extra_name(column: str) -> str:
    """Return the name an extra column is carried under: ``source_`` before a name that is ours.

    Case does not count: ``WIDTH`` beside ``width`` would be one column in SQL.
    """
    ours = {*KEYS, *STANDARD}
    return f"source_{column}" if column.lower() in ours else column


def bad_utf8(error: UnicodeError, column: str) -> str:
    """Return the detail of bytes that are not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return f"{column}: byte 0x{error.object[error.start]:02x} at {error.start}"
    return f"{column}: half of a surrogate pair"
