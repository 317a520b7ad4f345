"""How Lance, which has a driver of its own for object stores, reaches the one a run is on."""

from __future__ import annotations

import os
from pathlib import Path

from curate.core.errors import StoreError
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
