"""Sizes and SHA-256 checksums of files that are handed on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def file_facts(path: Path) -> dict[str, Any]:
    """Return a file's size in ``bytes`` and its ``sha256``."""
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def file_digest(path: Path) -> str:
    """Return a file's SHA-256, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(digests: Mapping[str, str]) -> str:
    """Return the SHA-256 over what ``sha256sum`` prints of a folder's files, sorted by name.

    Args:
        digests: each file's SHA-256, hex, by name.
    """
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()
