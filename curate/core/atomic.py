"""Files that are there whole or not at all.

Written under a temporary name, flushed to disk, renamed; the folder is flushed too, so that a
rename that was seen survives a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.errors import StorageFull, StoreError
from curate.core.failpoints import reach

TEMPORARY_SUFFIX = ".tmp"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says of a full disk or a closed door into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no room left to write {path}: free some space and run the same command again; "
                "everything committed so far stays valid"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"not allowed to write {path} ({error.strerror}): "
                "give another output folder or mend its permissions"
            ) from error
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def write_whole(
    path: Path, write: Callable[[IO[bytes]], object], *, flush_folder: bool = True
) -> int:
    """Write a file whole: temporary name, flush, rename.

    Args:
        path: the final name; its folder is made when missing.
        write: gets the open binary file.
        flush_folder: also flush the folder's entry; leave it to a later call to spare a flush.

    Returns:
        The file's size in bytes.

    Raises:
        StorageFull: no room left.
        StoreError: no permission.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    with storage_errors(path):
        try:
            file = _open_new(temporary)
            with file:
                reach("file.begun", path)
                write(file)
                file.flush()
                reach("file.written", path)
                os.fsync(file.fileno())
                size = file.tell()
            reach("file.flushed", path)
            temporary.replace(path)
            reach("file.renamed", path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if flush_folder:
            flush_directory(path.parent)
    return size


def _open_new(path: Path) -> IO[bytes]:
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def flush_directory(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any, *, flush_folder: bool = True) -> int:
    """Write JSON whole; returns its size in bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()
    return write_whole(path, lambda file: file.write(text), flush_folder=flush_folder)


def damaged(path: Path, error: Exception, *, remove: Path | None = None) -> StoreError:
    """Return the error for a file that was damaged from outside, since ours are whole.

    Args:
        path: the file.
        error: what was found.
        remove: what to remove to have its work done again; the file itself when not given.
    """
    what = "it" if remove is None else str(remove)
    return StoreError(
        f"{path} is damaged ({error}): restore it, or remove {what} to have its work done again"
    )


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        StoreError: the file is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise damaged(path, error) from error


def read_parquet(path: Path, *, remove: Path, **options: Any) -> pa.Table:
    """Read a table; options are those of ``pyarrow.parquet.read_table``.

    Raises:
        StoreError: the file is gone, or no Parquet with the columns wanted.
    """
    try:
        return pq.read_table(path, **options)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error, remove=remove) from error


def write_parquet(path: Path, table: pa.Table, *, flush_folder: bool = True) -> int:
    """Write a table whole as Parquet; returns its size in bytes.

    Columns of encoded bytes are left as they are; everything else is compressed by zstd.
    """
    opaque = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    compression: str | dict[str, str] = "zstd"
    if opaque:
        compression = dict.fromkeys(_leaves(table.schema), "zstd")
        compression.update(dict.fromkeys(opaque, "none"))
    return write_whole(
        path,
        lambda file: pq.write_table(
            table,
            file,
            compression=compression,
            use_dictionary=[] if opaque else True,
            write_statistics=not opaque,
        ),
        flush_folder=flush_folder,
    )


def _leaves(schema: pa.Schema) -> list[str]:
    names = []
    for field in schema:
        nested = pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)
        names.append(f"{field.name}.list.element" if nested else field.name)
    return names


def sweep_temporaries(folder: Path) -> int:
    """Remove files and folders a killed process left half-written; returns how many.

    Only the owner of the run may call this.
    """
    found = list(folder.rglob(f".*{TEMPORARY_SUFFIX}"))
    for path in found:
        if path.is_dir():  # of a selection
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(found)
