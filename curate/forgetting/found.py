"""Which rows of a run are meant by uids, addresses and hosts, and all that they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.core.atomic import parquet_source, read_parquet
from curate.core.errors import StoreError
from curate.core.location import StorePath
from curate.core.tombstones import host_of
from curate.forgetting.steps import KINDS, Step, files_of

#: Bytes of a picture that are enough to know it by; encoded pictures are as good as random.
_PIECE = 48


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be forgotten.

    Attributes:
        uids: of rows.
        urls: addresses, or paths of local pictures.
        hosts: all addresses of these, in small letters, without port.

    Raises:
        StoreError: one that is no host, of which nothing would ever be found.
    """

    uids: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Check the hosts."""
        for host in self.hosts:
            if host not in (host_of(f"//{host}"), host_of(f"//[{host}]")) or not host:
                raise StoreError(
                    f"{host!r} is no host: give it alone, without scheme, port or path "
                    "(example.org)"
                )

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.uids or self.urls or self.hosts)


@dataclass(slots=True)
class Found:
    """The rows that are meant.

    Attributes:
        rows: by partition.
        uid: their uids, and those asked for.
        url: their addresses, and those asked for.
        path: paths of local pictures.
        texts: of all sources and models.
        image: some bytes out of the middle of each picture, hex, by which it is known again.
    """

    rows: dict[int, set[int]] = field(default_factory=dict)
    uid: set[str] = field(default_factory=set)
    url: set[str] = field(default_factory=set)
    path: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    image: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(len(rows) for rows in self.rows.values())


def find(root: StorePath, steps: Sequence[Step], asked: Asked) -> Found:
    """Find the rows in the table and in the ledger.

    A row's address goes with it: all rows of one address are one picture, so that those of an
    address of which one row is meant are all meant.
    """
    found = Found(uid=set(asked.uids), url=set(asked.urls))
    known = -1
    while known != len(found.url) + len(found.path):
        known = len(found.url) + len(found.path)
        for step in steps:
            if step.first:
                for kind in ("parts", "ledger"):
                    for _, path in files_of(root / step.node.folder / kind):
                        _look(path, asked, found)
        if not asked.uids and not asked.hosts:
            break  # addresses lead to no further ones
    _gather(root, steps, found)
    return found


def _look(path: StorePath, asked: Asked, found: Found) -> None:
    rows = _columns(path, ("partition", "row", "uid", "url", "path"))
    mask = np.zeros(rows.num_rows, bool)
    for name, values in (
        ("uid", asked.uids),
        ("url", found.url),
        ("path", found.url | found.path),
    ):
        if name in rows.column_names and values:
            mask |= np.asarray(pc.is_in(rows[name], pa.array(sorted(values), pa.string())))
    if "url" in rows.column_names and asked.hosts:
        hosts = [host_of(url) in asked.hosts for url in rows["url"].to_pylist()]
        mask |= np.array(hosts, bool)
    for name in ("uid", "url", "path"):
        if name in rows.column_names:
            values = rows[name].filter(pa.array(mask)).to_pylist()
            getattr(found, name).update(value for value in values if value)
    for row in rows.select(["partition", "row"]).filter(pa.array(mask)).to_pylist():
        found.rows.setdefault(row["partition"], set()).add(row["row"])


def _gather(root: StorePath, steps: Sequence[Step], found: Found) -> None:
    """Gather texts and hashes of the rows from every step, so that it can be proved they went."""
    for step in steps:
        for kind in KINDS:
            for number, path in files_of(root / step.node.folder / kind, set(found.rows)):
                rows = _columns(path, ("row", "uid", "url", "path", "texts", "image"))
                mine = rows.filter(among(rows["row"], found.rows[number]))
                for name in ("uid", "url", "path"):
                    if name in mine.column_names:
                        getattr(found, name).update(v for v in mine[name].to_pylist() if v)
                if "texts" in mine.column_names:
                    every = [own or () for own in mine["texts"].to_pylist()]
                    found.texts.update(text for own in every for text in own if text)
                if "image" in mine.column_names:
                    found.image.update(map(_middle, filter(None, mine["image"].to_pylist())))


def _middle(image: bytes) -> str:
    start = max(0, len(image) // 2 - _PIECE // 2)
    return image[start : start + _PIECE].hex()


def among(column: pa.ChunkedArray, rows: Iterable[int]) -> pa.Array:
    """Return which row numbers are among the given ones."""
    return pa.array(np.isin(column.to_numpy(), list(rows)))


def _columns(path: StorePath, names: Sequence[str]) -> pa.Table:
    with parquet_source(path) as source, pq.ParquetFile(source) as file:
        there = [name for name in names if name in file.schema_arrow.names]
    return read_parquet(path, remove=path, columns=there)
