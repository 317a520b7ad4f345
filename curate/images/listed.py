"""Hashes of pictures that must not be used: known illegal material, take-downs, test sets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEX_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "phash": 16}


@dataclass(frozen=True)
class HashList:
    """A list of hashes.

    Attributes:
        digests: by type (``md5``, ``sha1``, ``sha256``, ``sha512``), of whole bodies.
        phashes: of looks, uint64; see ``perceptual_hash``.
        max_distance: bits in which a look may differ from a listed one.
    """

    digests: Mapping[str, frozenset[bytes]]
    phashes: NDArray[np.uint64]
    max_distance: int

    def match_bytes(self, body: bytes) -> str | None:
        """Return which type of hash of the bytes is listed, for people; None if none is."""
        for kind, known in self.digests.items():
            if hashlib.new(kind, body, usedforsecurity=False).digest() in known:
                return f"its {kind} is listed"
        return None

    def match_look(self, phash: int) -> str | None:
        """Return how near a listed look is, for people; None if none is near enough."""
        if not len(self.phashes):
            return None
        nearest = int(np.bitwise_count(self.phashes ^ np.uint64(phash)).min())
        return f"{nearest} bits from a listed phash" if nearest <= self.max_distance else None


def read_hash_list(path: str | Path, *, max_distance: int) -> HashList:
    """Read a file of hashes: one a line, ``TYPE:HEX``; ``#`` begins a comment.

    A list of a million hashes takes about 100 MB.

    Args:
        path: UTF-8 text.
        max_distance: bits in which a look may differ from a listed one.

    Raises:
        OSError: it cannot be read.
        ValueError: a line that is no hash, named by its number.
    """
    digests: dict[str, set[bytes]] = {}
    looks: list[int] = []
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip().lower()
            if not text:
                continue
            kind, _, digits = text.partition(":")
            try:
                value = bytes.fromhex(digits)
            except ValueError:
                value = b""
            if len(digits) != _HEX_DIGITS.get(kind, -1) or 2 * len(value) != len(digits):
                kinds = ", ".join(_HEX_DIGITS)
                raise ValueError(
                    f"line {number}: {line.strip()[:80]!r} is not TYPE:HEX with a type of {kinds} "
                    "and as many digits as it has"
                )
            if kind == "phash":
                looks.append(int.from_bytes(value, "big"))
            else:
                digests.setdefault(kind, set()).add(value)
    frozen = {kind: frozenset(known) for kind, known in digests.items()}
    return HashList(frozen, np.unique(np.array(looks, dtype=np.uint64)), max_distance)
