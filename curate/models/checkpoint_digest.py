"""What identifies a checkpoint's files: a hash that is computed once as long as they stay.

Nothing here imports torch, so ``curate plan`` can ask.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.core.errors import ModelError

#: The files of a checkpoint that decide its results; these are hashed, and fetched from the hub.
PATTERNS = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model"),
    *("chat_template.jinja", "chat_template.json", "qformer_tokenizer/*"),
    *("*.safetensors", "*.safetensors.index.json"),
)


def folder_digest(folder: Path) -> str:
    """Return SHA-256 over a checkpoint's files, hex; cached by path, sizes and times.

    Raises:
        ModelError: the folder holds no file of a checkpoint, or one cannot be read.
    """
    files = sorted({path for pattern in PATTERNS for path in folder.glob(pattern)})
    if not files:
        raise ModelError(f"{folder} holds no checkpoint")
    try:
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        state = json.dumps(stats)
        cache = _cache_folder() / f"{_sha256(str(folder.resolve()).encode())[:32]}.json"
        cached = _read_cache(cache)
        if cached.get("state") == state:
            return str(cached["digest"])
        value = _hash_files(files)
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error}") from error
    _write_cache(cache, {"state": state, "digest": value})
    return value


def _hash_files(files: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.name} {inner}\n".encode())
    return whole.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "curate" / "digests"


def _read_cache(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_cache(path: Path, entry: dict[str, str]) -> None:
    """Write whole or not at all; a cache that cannot be written only costs time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(entry, file)
        Path(file.name).replace(path)
    except OSError:
        return
