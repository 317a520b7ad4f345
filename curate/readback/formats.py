"""Which format shards are in: told by their manifest, or by looking at them."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core.atomic import read_json
from curate.core.checksums import file_digest, folder_digest
from curate.core.errors import SourceError

MANIFEST = "manifest.json"
_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Shards:
    """Shards of one format.

    Attributes:
        folder: where they are.
        kind: an exporter's kind.
        files: the shards, relative to the folder, in order.
        entries: what the manifest says of each; empty without one.
    """

    folder: Path
    kind: str
    files: Sequence[str]
    entries: Sequence[Mapping[str, Any]] = ()


def find_shards(path: Path) -> Shards:
    """Return the shards in a folder, or the one a path names.

    Raises:
        SourceError: nothing there, or nothing of a known format.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist: give a folder of shards, or one shard")
    if path.is_file():
        whole = find_shards(path.parent)
        if path.name not in whole.files:
            raise SourceError(f"{path} is no shard of {path.parent} ({whole.kind})")
        own = [entry for entry in whole.entries if entry["file"] == path.name]
        return Shards(whole.folder, whole.kind, [path.name], own)
    if (path / MANIFEST).exists():
        manifest = read_json(path / MANIFEST)
        if isinstance(manifest, dict) and "made_from" in manifest:
            entries = manifest["shards"]
            files = [str(entry["file"]) for entry in entries]
            return Shards(path, str(manifest["made_from"]["kind"]), files, entries)
    return _looked_at(path)


def _looked_at(folder: Path) -> Shards:
    if (folder / "index.json").exists():
        index = read_json(folder / "index.json")
        try:
            files = [str(shard["raw_data"]["basename"]) for shard in index["shards"]]
        except (KeyError, TypeError) as error:
            raise SourceError(f"{folder / 'index.json'} is no index of MDS shards") from error
        return Shards(folder, "mds", files)
    if folder.suffix == ".lance" and (folder / "data").is_dir():
        files = [f"{folder.name}/data/{p.name}" for p in sorted((folder / "data").glob("*.lance"))]
        return Shards(folder.parent, "lance", files)
    for suffix in ("tar", "parquet", "json", "npy"):
        names = sorted(path.name for path in folder.glob(f"*.{suffix}"))
        kinds = {name: _kind(folder / name) for name in names}
        found = [name for name in names if kinds[name] is not None]
        if found:
            kind = str(kinds[found[0]])
            files = [name for name in found if kinds[name] == kind]
            whole = kind == "llava_json" and "train.json" in files  # the others' entries again
            return Shards(folder, kind, ["train.json"] if whole else files)
    raise SourceError(
        f"{folder} holds no shards that are known: tar, Parquet, MDS with its index.json, a Lance "
        "table, lists of annotations in JSON or of uids in .npy"
    )


def _kind(path: Path) -> str | None:
    if path.suffix == ".tar":
        return "webdataset"
    if path.suffix == ".npy":
        return "datacomp_uids"
    if path.suffix == ".parquet":
        return _parquet_kind(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.lstrip().startswith(b"[") or b'"image"' not in head:
        return None
    return "llava_json" if b'"conversations"' in head else "blip_json"


def _parquet_kind(path: Path) -> str | None:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return "parquet"  # the loader will say what is wrong with it
    if "image" in schema.names and b"huggingface" in (schema.metadata or {}):
        return "hf_datasets"
    return "parquet" if {"caption", "text"} & set(schema.names) else None


def samples_of_tar(path: Path) -> list[tuple[str, str | None]]:
    """Return key and text of each sample in a tar, in order; what cannot be read ends the list."""
    found: dict[str, str | None] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                name = Path(member.name).name
                key = member.name[: len(member.name) - len(name)] + name.partition(".")[0]
                found.setdefault(key, None)
                if name.partition(".")[2] == "txt":
                    body = tar.extractfile(member)
                    assert body is not None
                    found[key] = body.read().decode("utf-8", "replace")
    except (tarfile.TarError, OSError):
        pass
    return list(found.items())


def pictures_digest(folder: Path) -> str:
    """Return the digest of a folder of pictures, as the manifest has it."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return folder_digest({path.name: file_digest(path) for path in paths})
