"""Where Lance meets the rest: addresses of object stores, its errors, its tables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.core.atomic import storage_errors
from curate.core.errors import StorageFull, StoreError
from curate.core.location import StorePath

#: Protocols of fsspec and how Lance calls them.
_PROTOCOLS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az"}


def lance_address(path: StorePath) -> tuple[str, dict[str, str]]:
    """Return where Lance finds a path, and its storage options; none for a local disk.

    Lance reads credentials from the environment itself. Those given to fsspec alone, the endpoint
    and whether it is plain HTTP are passed on.

    Raises:
        StoreError: Lance cannot reach such a store.
    """
    if isinstance(path, Path):
        return str(path), {}
    protocol, _, rest = str(path).partition("://")
    if protocol not in _PROTOCOLS:
        raise StoreError(
            f"Lance cannot reach {path}: it reads local folders, s3://, gs:// and az://. "
            "Leave out the Lance sink and exporter, or give another output"
        )
    options = _s3_options(path) if _PROTOCOLS[protocol] == "s3" else {}
    return f"{_PROTOCOLS[protocol]}://{rest}", options


@contextlib.contextmanager
def lance_errors(path: StorePath) -> Iterator[None]:
    """Turn what Lance says of a disk into our errors; it raises whatever its layers raise.

    For what can be made again from a run's tables.
    """
    try:
        with storage_errors(path):
            yield
    except (RuntimeError, ValueError, pa.ArrowException) as error:
        if "No space left on device" in str(error):
            raise StorageFull(
                f"no room left to write {path}: free some space and run the same command again; "
                "everything committed so far stays valid"
            ) from error
        raise StoreError(
            f"{path} cannot be used: {error}; the run's own tables are whole, and it "
            "is made again when it is removed"
        ) from error


def table_names(database: Any) -> list[str]:
    """Return the names of a database's tables."""
    tables = database.list_tables()
    return list(getattr(tables, "tables", tables))


def _s3_options(path: StorePath) -> dict[str, str]:
    assert not isinstance(path, Path)
    fs = path.fs
    client = getattr(fs, "client_kwargs", None) or {}
    found = {
        "aws_access_key_id": getattr(fs, "key", None),
        "aws_secret_access_key": getattr(fs, "secret", None),
        "aws_session_token": getattr(fs, "token", None),
        "aws_region": client.get("region_name") or _of_environment("AWS_REGION"),
        "aws_endpoint": client.get("endpoint_url")
        or getattr(fs, "endpoint_url", None)
        or _of_environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    }
    options = {name: str(value) for name, value in found.items() if value}
    if options.get("aws_endpoint", "").startswith("http://"):
        options["allow_http"] = "true"
    return options


def _of_environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
