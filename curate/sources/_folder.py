"""Pictures found in a folder, listed in chunks that never change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.core import columns
from curate.core.atomic import read_parquet_if_there, write_parquet
from curate.core.errors import SourceError
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile
from curate.sources._rows import (
    NOT_UTF8,
    UNREADABLE_ROW,
    bad_utf8,
    base_fields,
    kept_texts,
    text_columns,
    uid,
)
from curate.sources._tables import OpenTables

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif"),
    *(".bmp", ".tif", ".tiff", ".avif"),
)

_CHUNK = 100_000
_MAX_TEXT_BYTES = 1 << 20

#: A chunk's columns: the path (null where it is not UTF-8), what to show of it then, and a hash
#: of its bytes by which a later listing knows it.
_LISTING = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("shown", pa.string()),
        pa.field("key", pa.binary(16), nullable=False),
    ]
)

_Fault = tuple[str, str]


class FolderListing(Source):
    """The pictures below a folder, with a text or JSON file beside each.

    The listing is cut into chunks, written into the run's folder as they fill up. A chunk never
    changes; what is found later goes into new chunks, and a picture that is gone by the time it
    is loaded is a row with a reason.
    """

    def __init__(self, root: Path, *, texts: str | None, key: str, text_source: str) -> None:
        """Build the source.

        Args:
            root: the folder.
            texts: ``txt``, ``json`` or None.
            key: of the texts in JSON objects.
            text_source: where the texts came from.
        """
        self._root = root
        self._texts = texts
        self._key = key
        self._text_source = text_source
        self._open = OpenTables()

    def schema(self) -> pa.Schema:
        """Return uid, path and the text columns.

        Raises:
            SourceError: there is no such folder.
        """
        check_folder(self._root)
        return pa.schema(base_fields(columns.PATH))

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the chunks of the listing: known ones first, then what is new.

        Raises:
            SourceError: the folder cannot be read, holds no picture, or a known chunk is gone.
        """
        check_folder(self._root)
        seen: list[NDArray[np.bytes_]] = []
        for name in known:
            chunk = spool / f"{name}.parquet"
            table = read_parquet_if_there(chunk, remove=spool, columns=["key"])
            if table is None:
                raise SourceError(
                    f"{chunk} is gone, so the run's rows cannot be told from new ones: "
                    "restore it, or start another run in another output folder"
                )
            keys = table["key"].to_pylist()
            seen.append(np.array(keys, dtype="S16"))
            yield _chunk_file(name, chunk, keys)
        old = np.sort(np.concatenate(seen)) if seen else np.zeros(0, dtype="S16")
        new = (found for found in _walk(self._root) if not _among(_key(found), old))
        number = len(known)
        while batch := list(islice(new, _CHUNK)):
            name = f"images-{number:06d}"
            listing = _listing(batch)
            write_parquet(spool / f"{name}.parquet", listing)
            yield _chunk_file(name, spool / f"{name}.parquet", listing["key"].to_pylist())
            number += 1
        if number == 0:
            raise SourceError(
                f"{self._root} holds no picture: files ending in {', '.join(IMAGE_SUFFIXES)} "
                "are looked for, in all folders below it"
            )

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows of a chunk, with their texts.

        Raises:
            SourceError: the chunk is gone.
        """
        rows = self._open.read(file.location, start, stop, lambda schema: schema.names)
        paths, texts, faults = rows["path"].to_pylist(), [], []
        for path, shown in zip(paths, rows["shown"].to_pylist(), strict=True):
            fault: _Fault | None = (NOT_UTF8, f"file name {shown}")
            mine: list[str] = []
            if path is not None:
                mine, fault = self._beside(path)
            texts.append(mine)
            faults.append(fault)
        arrays = [
            pa.array([uid(p, t) for p, t in zip(paths, texts, strict=True)], pa.string()),
            pa.array(paths, pa.string()),
            *text_columns(texts, self._text_source),
        ]
        return Mapped(
            pa.Table.from_arrays(arrays, schema=self.schema()),
            pa.array([fault and fault[0] for fault in faults], pa.string()),
            pa.array([fault and fault[1] for fault in faults], pa.string()),
        )

    def _beside(self, path: str) -> tuple[list[str], _Fault | None]:
        """Return a picture's texts, or what is wrong with the file that holds them."""
        if self._texts is None:
            return [], None
        beside = (self._root / path).with_suffix(f".{self._texts}")
        try:
            return kept_texts(self._parsed(_content(beside, self._root.resolve()))), None
        except FileNotFoundError:
            return [], None
        except UnicodeError as error:
            return [], (NOT_UTF8, bad_utf8(error, beside.name))
        except (OSError, ValueError, RecursionError) as error:
            return [], (UNREADABLE_ROW, f"{beside.name}: {error}"[:300])

    def _parsed(self, content: str) -> list[str | None]:
        if self._texts == "txt":
            return list(content.splitlines())
        value: Any = json.loads(content)
        if isinstance(value, dict):
            value = value.get(self._key)
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            if not (text is None or isinstance(text, str)):
                raise ValueError(f"{self._key} is not a text or a list of texts")
            (text or "").encode()
        return texts


def check_folder(root: Path) -> None:
    """Check that the folder is there.

    Raises:
        SourceError: it is not.
    """
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise SourceError(f"{root} {what}: give the folder the pictures are in")


def _walk(root: Path) -> Iterator[str]:
    """Yield the pictures' paths relative to the root, in the order of their names.

    Hidden files and folders are passed over; folders behind symbolic links are not entered, for
    they may lead out of the root or in circles.

    Raises:
        SourceError: a folder cannot be read.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
            entries = [entry for entry in entries if not entry.name.startswith(".")]
            below = {e.name for e in entries if e.is_dir(follow_symlinks=False)}
        except OSError as error:
            raise SourceError(
                f"cannot read the folder {root / folder}: {error.strerror}"
            ) from error
        for entry in entries:
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.name not in below:
                yield f"{folder}{entry.name}"
        waiting += [f"{folder}{e.name}/" for e in reversed(entries) if e.name in below]


def _content(beside: Path, root: Path) -> str:
    """Return a small text file's content.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no plain file inside the root, too long, or not UTF-8.
        OSError: it cannot be read.
    """
    resolved = beside.resolve(strict=True)
    if not resolved.is_relative_to(root) or not resolved.is_file():
        raise ValueError("no plain file inside the folder")
    with resolved.open("rb") as file:
        data = file.read(_MAX_TEXT_BYTES + 1)
    if len(data) > _MAX_TEXT_BYTES:
        raise ValueError(f"above {_MAX_TEXT_BYTES} bytes")
    return data.decode("utf-8-sig")


def _key(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=16).digest()


def _among(key: bytes, keys: NDArray[np.bytes_]) -> bool:
    # All keys have 16 bytes, so that numpy drops trailing zeros makes no two of them equal.
    wanted = np.array(key, dtype="S16")
    index = int(np.searchsorted(keys, wanted))
    return index < len(keys) and bool(keys[index] == wanted)


def _listing(paths: list[str]) -> pa.Table:
    plain = [_plain(path) for path in paths]
    shown = [None if p is not None else ascii(path) for p, path in zip(plain, paths, strict=True)]
    keys = [_key(path) for path in paths]
    arrays = [
        pa.array(values, field.type)
        for values, field in zip((plain, shown, keys), _LISTING, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=_LISTING)


def _plain(path: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return None
    return path


def _chunk_file(name: str, chunk: StorePath, keys: list[bytes]) -> SourceFile:
    digest = hashlib.blake2b(b"".join(keys), digest_size=16).hexdigest()
    return SourceFile(name, len(keys), digest, str(chunk))
