"""Where a run's folder is: a path on a local disk, or a URL of an object store behind fsspec.

A ``StorePath`` has pathlib's names on both. What a file system does by renaming and an object
store does not (a file that is there whole or not at all, a new file that only one process can
make) is in ``core.atomic``, and in no other place.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TypeAlias

from upath import UPath

from curate.core.errors import StoreError

StorePath: TypeAlias = Path | UPath

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*)://(.*)", re.DOTALL)
_LOCAL = ("file", "local")
_READ_ONLY = ("http", "https", "data")
_EXTRAS = {"s3": "pip install 'curate[s3]'", "s3a": "pip install 'curate[s3]'"}


def store_path(text: str | Path | UPath) -> StorePath:
    """Return where a path or URL points; a path that is one already comes back as it is.

    Nothing is asked of the store. Its settings (endpoint, credentials) come from the environment
    and fsspec's configuration, so that a worker on another machine finds them the same way.

    Raises:
        StoreError: no such protocol, its package is not installed, or it cannot be written.

    Example:
        >>> store_path("runs/quickstart")
        PosixPath('runs/quickstart')
        >>> str(store_path("memory://runs/quickstart/") / "plan.json")
        'memory://runs/quickstart/plan.json'
    """
    if not isinstance(text, str):
        return text
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    chain, _, protocol = match[1].lower().rpartition("::")
    if protocol in _LOCAL and not chain:
        return Path(match[2])
    if chain or protocol in _READ_ONLY:
        raise StoreError(
            f"{text} cannot hold a run: give a local folder or a folder of an object store, "
            "such as s3://bucket/run"
        )
    try:
        # a remembered listing would hide what other processes commit
        path = UPath(text.rstrip("/"), use_listings_cache=False)
        path.fs  # noqa: B018 - a missing package shows itself here
    except (ImportError, ValueError) as error:
        how = _EXTRAS.get(protocol, "install the fsspec package of that protocol (gcsfs, adlfs)")
        raise StoreError(f"cannot open {text}: {error} ({how})") from error
    return path


def matching(pattern: str) -> list[StorePath]:
    """Return the files that a path, a URL or a glob of either means, in order of their names.

    Raises:
        StoreError: an object store that cannot be opened.
    """
    path = store_path(pattern)
    if isinstance(path, Path):
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - takes whole patterns
        return [Path(name) for name in found]
    return [store_path(path.fs.unstrip_protocol(name)) for name in sorted(path.fs.glob(path.path))]
