"""Local folders for work that needs a disk, whatever kind of store the run is on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from upath import UPath

from curate.core import objects
from curate.core.atomic import child_names, storage_errors
from curate.core.location import StorePath


def user_cache() -> Path:
    """Return the user's folder for caches (``XDG_CACHE_HOME``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@contextlib.contextmanager
def scratch_folder(near: StorePath) -> Iterator[Path]:
    """Give a folder on a local disk that is emptied before and removed after, killed or not.

    On a local disk it is ``near`` itself; for an object store it is where temporary files go
    (``TMPDIR``).
    """
    if isinstance(near, Path):
        with storage_errors(near):
            shutil.rmtree(near, ignore_errors=True)
            near.mkdir(parents=True)
        yield near
        shutil.rmtree(near, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def staged(folder: StorePath) -> Iterator[Path]:
    """Give a local folder whose files belong into another: that one itself where it is local.

    For an object store it is a temporary one, whose files are put when the block has ended well.

    Raises:
        StorageFull: no room left.
        StoreError: a file cannot be written.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="curate-") as name:
        local = Path(name)
        yield local
        _put_all(local, folder)


@contextlib.contextmanager
def workshop(folder: StorePath) -> Iterator[Path]:
    """Give a local folder that outlives a kill, for long work whose files belong into another.

    It is that one itself where it is local. For an object store it is one below the user's cache
    (``XDG_CACHE_HOME``), the same one for the same ``folder``, whose files are put and which is
    removed when the block has ended well.

    Raises:
        StorageFull: no room left.
        StoreError: a file cannot be written.
    """
    if isinstance(folder, Path):
        yield folder
        return
    local = _in_cache(folder, "work")
    with storage_errors(local):
        local.mkdir(parents=True, exist_ok=True)
    yield local
    _put_all(local, folder)
    shutil.rmtree(local, ignore_errors=True)


def kept_beside(folder: StorePath) -> Path:
    """Return the local folder for what is made from a run again whenever it is missing.

    It is that one itself where it is local. For an object store it is one below the user's cache
    (``XDG_CACHE_HOME``), the same one for the same ``folder``; nothing of it is put.
    """
    return folder if isinstance(folder, Path) else _in_cache(folder, "kept")


def _in_cache(folder: UPath, kind: str) -> Path:
    name = hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    return user_cache() / "curate" / kind / name


def _put_all(local: Path, folder: UPath) -> None:
    for path in sorted(path for path in local.rglob("*") if path.is_file()):
        objects.put(folder / path.relative_to(local).as_posix(), str(path))


@contextlib.contextmanager
def fetched(folder: StorePath) -> Iterator[Path]:
    """Give a local folder with a folder's files: that folder itself, or a temporary copy.

    Raises:
        StorageFull: no room left for the copy.
        StoreError: a file cannot be read.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="curate-") as name:
        local = Path(name) / folder.name
        local.mkdir()
        children = child_names(folder)
        objects.get([folder / child for child in children], [f"{local}/{n}" for n in children])
        yield local
