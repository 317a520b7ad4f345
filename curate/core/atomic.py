"""Files that are there whole or not at all, on a local disk and on an object store.

On a disk: written under a temporary name, flushed, renamed; the folder is flushed too, so that a
rename that was seen survives a power cut. On an object store: written to a local temporary file
and put by one call, since an object appears whole or not at all. Folders are renamed on neither:
what consists of many files has one file that says it is complete, written last.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core import objects
from curate.core.errors import StorageFull, StoreError
from curate.core.failpoints import reach
from curate.core.location import StorePath

TEMPORARY_SUFFIX = ".tmp"


@contextlib.contextmanager
def storage_errors(path: StorePath) -> Iterator[None]:
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
    path: StorePath, write: Callable[[IO[bytes]], object], *, flush_folder: bool = True
) -> int:
    """Write a file whole: temporary name, flush, rename; or one put.

    Args:
        path: the final name; its folder is made when missing.
        write: gets the open binary file.
        flush_folder: also flush the folder's entry; leave it to a later call to spare a flush.

    Returns:
        The file's size in bytes.

    Raises:
        StorageFull: no room left.
        StoreError: no permission, or the store cannot be reached.
    """
    if isinstance(path, Path):
        return _write_and_rename(path, write, flush_folder=flush_folder)
    with tempfile.NamedTemporaryFile(prefix="curate-") as temporary:
        with storage_errors(Path(temporary.name)):
            write(temporary.file)
            temporary.file.flush()
            size = temporary.file.tell()
        reach("object.written", path)
        objects.put(path, temporary.name)
        reach("object.put", path)
    return size


def _write_and_rename(
    path: Path, write: Callable[[IO[bytes]], object], *, flush_folder: bool
) -> int:
    temporary = _temporary(path)
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


def write_new(path: StorePath, value: Any) -> bool:
    """Write JSON whole where there is no file yet; returns False when there is one.

    Of many callers at the same moment one wins. On a disk that knows no hard links the file may be
    seen before its content.

    Raises:
        StorageFull: no room left.
        StoreError: no permission, or the store cannot be reached.
    """
    data = _json_bytes(value)
    if not isinstance(path, Path):
        return objects.create(path, data)
    temporary = _temporary(path)
    with storage_errors(path):
        try:
            _fill_new(temporary, data)
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            return _fill_new(path, data)
        finally:
            temporary.unlink(missing_ok=True)
    return True


def _fill_new(path: Path, data: bytes) -> bool:
    try:
        with _open_new(path) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")


def _open_new(path: Path) -> IO[bytes]:
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def flush_directory(folder: StorePath) -> None:
    """Flush a folder's entries to disk; an object store has none."""
    if not isinstance(folder, Path):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: StorePath, value: Any, *, flush_folder: bool = True) -> int:
    """Write JSON whole; returns its size in bytes."""
    text = _json_bytes(value)
    return write_whole(path, lambda file: file.write(text), flush_folder=flush_folder)


def write_passing(path: StorePath, value: Any) -> None:
    """Write JSON that a reader sees whole and that may be lost: it is not flushed to disk.

    One process at a time. For what is written every few seconds and is nothing but news.

    Raises:
        OSError, StoreError: it cannot be written.
    """
    if not isinstance(path, Path):
        objects.put_bytes(path, _json_bytes(value))
        return
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        temporary.write_bytes(_json_bytes(value))
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()


def exists(path: StorePath) -> bool:
    """Whether there is a file of this name; on an object store by one request.

    Raises:
        StoreError: the store cannot be asked.
    """
    return path.exists() if isinstance(path, Path) else objects.exists(path)


def file_size(path: StorePath) -> int | None:
    """Return a file's size in bytes; None where there is none.

    Raises:
        StoreError: the store cannot be asked.
    """
    try:
        return path.stat().st_size if isinstance(path, Path) else objects.size(path)
    except FileNotFoundError:
        return None


def read_bytes(path: StorePath) -> bytes:
    """Read a whole file.

    Raises:
        FileNotFoundError: there is none.
        StoreError: the store cannot be asked.
    """
    return path.read_bytes() if isinstance(path, Path) else objects.read(path)


def read_many(paths: Sequence[StorePath]) -> list[bytes | None]:
    """Read small files of one folder, from an object store many at once; None where is none.

    Raises:
        StoreError: the store cannot be asked.
    """
    remote = [path for path in paths if not isinstance(path, Path)]
    if remote:
        return objects.read_many(remote)
    return [path.read_bytes() if path.exists() else None for path in paths]


def child_names(folder: StorePath) -> list[str]:
    """Return the names of the files and folders in a folder, sorted; none when it is not there.

    Raises:
        StoreError: the store cannot be asked.
    """
    if not isinstance(folder, Path):
        return objects.names(folder)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def remove(path: StorePath) -> None:
    """Remove a file if it is there."""
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
    else:
        objects.remove(path)


def remove_tree(folder: StorePath) -> None:
    """Remove a folder and all in it, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        objects.remove_tree(folder)


def damaged(path: StorePath, error: Exception, *, remove: StorePath | None = None) -> StoreError:
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


def read_json(path: StorePath) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is no JSON.
    """
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise damaged(path, error) from error


def read_json_if_there(path: StorePath) -> Any:
    """Read JSON, or return None where there is no such file; one request on an object store.

    Raises:
        StoreError: the file is no JSON.
    """
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


def read_parquet(
    path: StorePath,
    *,
    remove: StorePath,
    columns: Sequence[str] | None = None,
    memory_map: bool = False,
) -> pa.Table:
    """Read a table.

    A small object is read by one request, of a large one the columns wanted.

    Args:
        path: the file.
        remove: what to remove to have its work done again, for the message of a damaged one.
        columns: columns wanted, in this order; None for all.
        memory_map: map a file on a disk in place of reading it.

    Raises:
        StoreError: the file is gone, or no Parquet with the columns wanted.
    """
    table = read_parquet_if_there(path, remove=remove, columns=columns, memory_map=memory_map)
    if table is None:
        raise damaged(path, FileNotFoundError("it is gone"), remove=remove)
    return table


def read_parquet_if_there(
    path: StorePath,
    *,
    remove: StorePath,
    columns: Sequence[str] | None = None,
    memory_map: bool = False,
) -> pa.Table | None:
    """Read a table, or return None where there is no such file; see ``read_parquet``.

    Raises:
        StoreError: no Parquet with the columns wanted.
    """
    try:
        # half the time of pyarrow's read_table, which looks at a file as at a data set
        with (
            parquet_source(path) as source,
            pq.ParquetFile(source, memory_map=memory_map) as file,
        ):
            if columns is None:
                return file.read()
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise pa.ArrowInvalid(f"it has no column {missing[0]!r}")
            return file.read(columns=list(columns)).select(list(columns))
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error, remove=remove) from error


@contextlib.contextmanager
def parquet_source(path: StorePath) -> Iterator[Any]:
    """Give what pyarrow reads a Parquet file from: a path, bytes in memory, or an open object.

    Raises:
        FileNotFoundError: there is no such object.
        StoreError: the store cannot be asked.
    """
    if isinstance(path, Path):
        yield path
        return
    end = objects.read_end(path)
    if len(end) < objects.SMALL:
        yield pa.BufferReader(end)
        return
    with objects.opened(path) as file:
        yield file


def write_parquet(path: StorePath, table: pa.Table, *, flush_folder: bool = True) -> int:
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


def sweep_temporaries(folder: StorePath) -> int:
    """Remove files and folders a killed process left half-written; returns how many.

    Only the owner of the run may call this.
    """
    if not isinstance(folder, Path):
        return objects.abort_uploads(folder)
    found = list(folder.rglob(f".*{TEMPORARY_SUFFIX}"))
    for path in found:
        if path.is_dir():  # of an export
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(found)
