"""Runs one loader in an interpreter of its own and tells what it reads.

``python -I _child.py LOADER.py FOLDER``, with the shards as a JSON list on standard input. Each
record is a line of JSON on the real standard output, followed by ``bytes`` bytes of a picture;
whatever the library prints goes to standard error.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
from typing import IO, Any


def main(loader: str, folder: str) -> None:
    """Read the shards and tell every sample, then the end or the error."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    spec = importlib.util.spec_from_file_location("loader", loader)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        _tell(out, {"missing": str(error)})
        return
    _tell(out, {"library": f"{module.LIBRARY} {importlib.metadata.version(module.LIBRARY)}"})
    try:
        for told in module.read(folder, json.load(sys.stdin)):
            if isinstance(told, str):
                _tell(out, {"shard": told})
                continue
            key, text, picture = told
            size = None if picture is None else len(picture)
            _tell(out, {"key": key, "text": text, "bytes": size})
            if picture is not None:
                out.write(picture)
    except Exception as error:  # a trainer would have died of it: the parent says where
        _tell(out, {"error": f"{type(error).__name__}: {error}"})
        return
    _tell(out, {"end": True})


def _tell(out: IO[bytes], value: dict[str, Any]) -> None:
    out.write(json.dumps(value).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
