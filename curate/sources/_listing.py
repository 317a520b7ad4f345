"""Which files a source means: globs and folders, local or behind fsspec, and their identity."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs

from curate.core.errors import SourceError

_ENDS = 1 << 16
_MAGIC = "*?["


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a list.

    Attributes:
        name: relative to the list's root, ``/`` separated.
        path: as its file system knows it.
        location: path or URL from which any worker opens it.
    """

    name: str
    path: str
    location: str


class Listing:
    """The files that a list's paths mean, in order of their names."""

    def __init__(self, paths: Sequence[str], *, suffixes: Sequence[str]) -> None:
        """Find the files.

        Args:
            paths: files, globs or folders (searched whole); all on one file system.
            suffixes: endings of the files that are looked for in folders.

        Raises:
            SourceError: nothing matches, several file systems, or one that cannot be had.
        """
        systems = {}
        found: set[str] = set()
        roots = []
        for given in paths:
            self.fs, path = _file_system(given)
            systems[self.fs.protocol] = given
            matches, root = _match(self.fs, path, suffixes)
            if not matches:
                raise SourceError(
                    f"no list matches {given!r}: check the path; globs (*.parquet), folders and "
                    f"files ending in {', '.join(suffixes)} are read"
                )
            found |= set(matches)
            roots.append(root)
        if len(systems) > 1:
            raise SourceError(f"one list, several file systems: {', '.join(systems.values())}")
        root = posixpath.commonpath(roots)
        self.files = [
            Listed(posixpath.relpath(path, root), path, self.fs.unstrip_protocol(path))
            for path in sorted(found)
        ]

    def open(self, file: Listed) -> IO[bytes]:
        """Open a file for reading bytes.

        Raises:
            SourceError: it cannot be opened.
        """
        try:
            opened: IO[bytes] = self.fs.open(file.path, "rb")
        except OSError as error:
            raise unreadable(file.location, error) from error
        return opened

    def digest(self, file: Listed) -> str:
        """Return a hash of the file's size and both ends: 32 hex digits.

        Raises:
            SourceError: the file cannot be read.
        """
        digest = hashlib.blake2b(digest_size=16)
        try:
            with self.open(file) as opened:
                size = opened.seek(0, 2)
                digest.update(str(size).encode())
                opened.seek(0)
                digest.update(opened.read(_ENDS))
                opened.seek(max(0, size - _ENDS))
                digest.update(opened.read(_ENDS))
        except OSError as error:
            raise unreadable(file.location, error) from error
        return digest.hexdigest()


def open_location(location: str) -> IO[bytes]:
    """Open a path or fsspec URL.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        fs, path = _file_system(location)
        opened: IO[bytes] = fs.open(path, "rb")
    except OSError as error:
        raise unreadable(location, error) from error
    return opened


def local_path(location: str) -> str | None:
    """Return the path when the location is a local file, else None."""
    fs, path = _file_system(location)
    return path if "file" in _protocols(fs) else None


def unreadable(location: str, error: Exception) -> SourceError:
    """Return the error of a file that cannot be read."""
    what = " ".join(str(error).split())[:300] or type(error).__name__
    return SourceError(f"cannot read {location}: {what}")


def _file_system(location: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        fs, path = url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise SourceError(
            f"cannot open {location!r}: {error}. Install the fsspec package of that protocol "
            "(s3fs, gcsfs, adlfs, ...)"
        ) from error
    return fs, path


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _match(fs: Any, path: str, suffixes: Sequence[str]) -> tuple[list[str], str]:
    """Return the matching files and the folder their names are relative to."""
    try:
        if any(sign in path for sign in _MAGIC) and not fs.exists(path):
            fixed = path[: min(path.index(sign) for sign in _MAGIC if sign in path)]
            return [match for match in fs.glob(path) if fs.isfile(match)], posixpath.dirname(fixed)
        if fs.isdir(path):
            found = [name for name in fs.find(path) if name.lower().endswith(tuple(suffixes))]
            return found, path
        return ([path] if fs.exists(path) else []), posixpath.dirname(path)
    except OSError as error:
        raise unreadable(path, error) from error
