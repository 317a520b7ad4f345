"""Objects of a store that knows no renaming: put whole, read by ranges, one request where one does.

What a driver raises is as various as the drivers; here it becomes our errors. ``FileNotFoundError``
and ``FileExistsError`` are answers, what Arrow says is about the content, and both pass.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
from upath import UPath

from curate.core.errors import CurateError, StoreError

#: Objects up to this size, bytes, are read by one request.
SMALL = 1 << 20
_AT_ONCE = 1000
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")


def _driver(path: UPath) -> Any:
    """Return the driver of a path's store; a forked process needs one of its own."""
    driver: Any = path.fs
    if getattr(driver, "_pid", os.getpid()) == os.getpid():
        return driver
    return type(driver)(**path.storage_options)


@contextlib.contextmanager
def object_errors(path: UPath, doing: str) -> Iterator[None]:
    """Turn whatever a store's driver raises into a clear error; ``doing``: ``read``, ``write``."""
    try:
        yield
    except (CurateError, FileNotFoundError, FileExistsError, pa.ArrowException):
        raise
    except PermissionError as error:
        raise StoreError(
            f"not allowed to {doing} {path} ({_said(error)}): check the credentials in the "
            "environment and what they may do there"
        ) from error
    except Exception as error:
        if type(error).__name__ in _NO_CREDENTIALS:
            raise StoreError(
                f"cannot {doing} {path}: no credentials: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role gives them"
            ) from error
        raise StoreError(
            f"cannot {doing} {path}: {type(error).__name__}: {_said(error)}. Check the endpoint "
            "and the network; everything committed so far stays valid and the same command goes on"
        ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or "no reason given"


def put(path: UPath, local: str) -> None:
    """Put a local file as one object: it appears whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    with _writing(path):
        _driver(path).put_file(local, path.path)


def put_bytes(path: UPath, data: bytes) -> None:
    """Put bytes as one object.

    Raises:
        StoreError: it cannot be written.
    """
    with _writing(path):
        _driver(path).pipe_file(path.path, data)


def get(paths: Sequence[UPath], local: Sequence[str]) -> None:
    """Copy objects of one store to local files, many at once; folders are made.

    Raises:
        FileNotFoundError: one is not there.
        StoreError: one cannot be read, or there is no room left.
    """
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        with object_errors(some[0], "read"):
            _driver(some[0]).get([one.path for one in some], list(local[start : start + _AT_ONCE]))


def create(path: UPath, data: bytes) -> bool:
    """Put an object where there is none yet; returns False when somebody else's is there.

    On stores with conditional writes (``If-None-Match``) of many callers one wins.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        with _writing(path):
            _driver(path).pipe_file(path.path, data, mode="create")
    except FileExistsError:
        return False
    except StoreError as error:
        if _is_conflict(error.__cause__):
            return False
        raise
    return True


def _is_conflict(error: BaseException | None) -> bool:
    """Whether the store refused a conditional write (412), or gave way to one going on (409)."""
    response = getattr(error.__cause__, "response", None) if error is not None else None
    if not isinstance(response, dict):
        return False
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in (409, 412)


@contextlib.contextmanager
def _writing(path: UPath) -> Iterator[None]:
    try:
        with object_errors(path, "write"):
            yield
    except FileNotFoundError as error:
        raise StoreError(
            f"cannot write {path}: {_said(error)}: make the bucket first, or name another"
        ) from error


def read(path: UPath) -> bytes:
    """Return an object's content, by one request when it is small.

    Raises:
        FileNotFoundError: there is none.
        StoreError: it cannot be read.
    """
    with object_errors(path, "read"):
        data: bytes = _driver(path).cat_file(path.path, start=0, end=SMALL)
        return data if len(data) < SMALL else _driver(path).cat_file(path.path)


def read_end(path: UPath) -> bytes:
    """Return the last ``SMALL`` bytes of an object: all of a small one.

    Raises:
        FileNotFoundError: there is none.
        StoreError: it cannot be read.
    """
    with object_errors(path, "read"):
        data: bytes = _driver(path).cat_file(path.path, start=-SMALL)
        return data


def read_many(paths: Sequence[UPath]) -> list[bytes | None]:
    """Return the contents of small objects, asked for at once; None where there is none.

    Raises:
        StoreError: one cannot be read.
    """
    if not paths:
        return []
    wanted = [path.path for path in paths]
    fs = _driver(paths[0])
    found = fs.cat_ranges(wanted, [0] * len(wanted), [SMALL] * len(wanted), on_error="return")
    out: list[bytes | None] = []
    for path, data in zip(paths, found, strict=True):
        if isinstance(data, FileNotFoundError):
            out.append(None)
            continue
        with object_errors(path, "read"):
            if isinstance(data, Exception):
                raise data
        out.append(data if len(data) < SMALL else read(path))
    return out


def exists(path: UPath) -> bool:
    """Whether there is an object (not a folder) of this name.

    Raises:
        StoreError: the store cannot be asked.
    """
    try:
        with object_errors(path, "read"):
            _driver(path).cat_file(path.path, start=0, end=1)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def opened(path: UPath) -> Iterator[IO[bytes]]:
    """Open an object for reading ranges: what is asked for is fetched and no more.

    Raises:
        FileNotFoundError: there is none.
        StoreError: it cannot be read.
    """
    with (
        object_errors(path, "read"),
        _driver(path).open(path.path, "rb", cache_type="none") as file,
    ):
        yield file


def names(folder: UPath) -> list[str]:
    """Return the names of what lies in a folder, sorted; none when there is no such folder.

    Raises:
        StoreError: it cannot be listed.
    """
    try:
        with object_errors(folder, "list"):
            found: list[str] = _driver(folder).ls(folder.path, detail=False)
    except FileNotFoundError:
        return []
    mine = folder.path.strip("/")
    below = (path.strip("/") for path in found)
    return sorted({path.rpartition("/")[2] for path in below if path != mine})


def modified(path: UPath) -> float:
    """Return when an object was written, by the store's clock, seconds since 1970.

    Raises:
        FileNotFoundError: there is none.
        StoreError: the store cannot be asked.
    """
    with object_errors(path, "read"):
        when: float = _driver(path).modified(path.path).timestamp()
        return when


def size(path: UPath) -> int:
    """Return an object's size, bytes.

    Raises:
        FileNotFoundError: there is none.
        StoreError: the store cannot be asked.
    """
    with object_errors(path, "read"):
        found: int = _driver(path).size(path.path)
        return found


def remove(path: UPath) -> None:
    """Remove an object if it is there.

    Raises:
        StoreError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError), object_errors(path, "remove"):
        _driver(path).rm_file(path.path)


def remove_tree(folder: UPath) -> None:
    """Remove all objects of a folder, a thousand a request where the store can.

    Raises:
        StoreError: they cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError), object_errors(folder, "remove"):
        found: list[str] = _driver(folder).find(folder.path)
        if found:
            _driver(folder).rm(found)


def abort_uploads(folder: UPath) -> int:
    """Give up uploads in parts that a killed process left unfinished; returns how many.

    They are invisible but paid for. A store without them, or a caller who may not list them,
    leaves them to the bucket's lifecycle rule.
    """
    fs = _driver(folder)
    if not hasattr(fs, "list_multipart_uploads"):
        return 0
    bucket, _, prefix = folder.path.partition("/")
    count = 0
    with contextlib.suppress(StoreError, FileNotFoundError), object_errors(folder, "sweep"):
        for upload in fs.list_multipart_uploads(bucket):
            if upload["Key"].startswith(f"{prefix}/"):
                fs.abort_mpu(bucket, upload["Key"], upload["UploadId"])
                count += 1
    return count
