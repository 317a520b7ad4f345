"""Tombstones: what a run must never take up again, without saying what it was.

``forgotten/`` in the run's folder holds, for every time that rows were forgotten, a file with keyed
hashes of their uids, urls, paths and hosts, and the rows' places in the list. The key (``salt``) is
the run's own and random, so that a hash says nothing outside of the run's folder; whoever has the
folder can still find out whether an address he knows is among them, which is what they are for.

The source asks them: a row that they name goes to the ledger as ``forgotten``, without its content,
before anything of it is fetched.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.core.atomic import child_names, exists, read_json, read_json_if_there, write_json
from curate.core.errors import StoreError
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.location import StorePath

FOLDER = "forgotten"
INTENT_FILE = "intent.json"
#: Reason in the ledger of a row that a tombstone names.
REASON = "forgotten"
_SALT_FILE = "salt.json"
_CONTENT = ("uid", "url", "texts", "detail")


def hash_of(salt: bytes, kind: str, value: str) -> str:
    """Return the keyed hash of a value, hex (BLAKE2b of 128 bits)."""
    text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=salt, digest_size=16).hexdigest()


def host_of(url: str | None) -> str | None:
    """Return the host that an address names, in small letters; None where there is none."""
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None


def salt_of(root: StorePath) -> bytes:
    """Return a run's key, made when it is first asked for; only the run's owner may ask."""
    path = root / FOLDER / _SALT_FILE
    found = read_json_if_there(path)
    if found is None:
        found = {"salt": secrets.token_hex(32)}
        write_json(path, found)
    return bytes.fromhex(found["salt"])


def check_none_pending(root: StorePath) -> None:
    """Check that no forgetting was stopped half-way.

    Raises:
        StoreError: one was; the message says how to finish it.
    """
    if exists(root / FOLDER / INTENT_FILE):
        raise StoreError(
            f"rows of {root} are being forgotten, or that was stopped half-way: the run is not "
            f"read meanwhile. 'curate forget {root}' finishes it"
        )


@dataclass(frozen=True, slots=True)
class Tombstones:
    """All tombstones of a run.

    Attributes:
        salt: the run's key.
        hashes: of values, all kinds together.
        rows: places in the list, by partition.
    """

    salt: bytes
    hashes: frozenset[str]
    rows: Mapping[int, frozenset[int]]

    @classmethod
    def load(cls, root: StorePath) -> Tombstones:
        """Read a run's tombstones; there are none in most runs."""
        folder = root / FOLDER
        names = [name for name in child_names(folder) if name[:8].isdigit() and len(name) == 13]
        hashes: set[str] = set()
        rows: dict[int, set[int]] = {}
        for name in names:
            record = read_json(folder / name)
            hashes.update(record["hashes"])
            for number, mine in record["rows"].items():
                rows.setdefault(int(number), set()).update(mine)
        salt = salt_of(root) if names else b""
        frozen = {number: frozenset(mine) for number, mine in rows.items()}
        return cls(salt, frozenset(hashes), frozen)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.hashes or self.rows)

    def names(self, kind: str, value: str) -> bool:
        """Whether a value is among them."""
        return hash_of(self.salt, kind, value) in self.hashes

    def is_of(self, value: str | None) -> bool:
        """Whether a value is one of them as an address, a path or a uid."""
        return any(self._is(kind, value) for kind in ("uid", "url", "path"))

    def mask(self, rows: pa.Table) -> np.ndarray:
        """Return which rows they name, bool.

        Args:
            rows: of one partition or none, with the keys and any of uid, url and path.
        """
        found = np.zeros(rows.num_rows, bool)
        if rows.num_rows and self.rows:
            mine = self.rows.get(rows["partition"][0].as_py(), frozenset())
            found |= np.isin(rows["row"].to_numpy(), list(mine))
        for kind in ("uid", "url", "path"):
            if kind in rows.column_names and self.hashes:
                found |= np.array([self._is(kind, v) for v in rows[kind].to_pylist()], bool)
        return found

    def _is(self, kind: str, value: str | None) -> bool:
        if not value:
            return False
        if self.names(kind, value):
            return True
        host = host_of(value) if kind == "url" else None
        return host is not None and self.names("host", host)


def without_content(ledger: pa.Table) -> pa.Table:
    """Return ledger entries, those of forgotten rows without what they held."""
    mine = pc.equal(ledger["reason"], REASON)
    if not pc.any(mine).as_py():
        return ledger
    for name in _CONTENT:
        field = LEDGER_SCHEMA.field(name)
        empty = pa.nulls(ledger.num_rows, field.type)
        index = ledger.schema.get_field_index(name)
        ledger = ledger.set_column(index, field, pc.if_else(mine, empty, ledger[name]))
    return ledger


def entries_of(number: int, rows: Iterable[int], stage: str) -> pa.Table:
    """Return the ledger entries of forgotten rows of a partition."""
    values: list[dict[str, Any]] = [
        {"partition": number, "row": row, "stage": stage, "reason": REASON} for row in sorted(rows)
    ]
    return pa.Table.from_pylist(values, schema=LEDGER_SCHEMA)
