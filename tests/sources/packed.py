"""Shards as others write them: tars made by hand, and img2dataset's by its own writers."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

#: The columns img2dataset adds to a list's own, in its order.
_ADDED = [
    pa.field("key", pa.string()),
    pa.field("status", pa.string()),
    pa.field("error_message", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("original_width", pa.int32()),
    pa.field("original_height", pa.int32()),
    pa.field("sha256", pa.string()),
]


def write_tar(path: Path, members: Mapping[str, bytes | str]) -> Path:
    """Write a tar with these members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as out:
        for name, content in members.items():
            body = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
    return path


@dataclass(frozen=True)
class Download:
    """A row of a list, and what became of it; no picture: not downloaded."""

    url: str
    caption: str | None
    picture: bytes | None
    extra: Mapping[str, Any] = field(default_factory=dict)


def img2dataset_output(
    folder: Path, shards: Sequence[Sequence[Download]], *, output_format: str = "webdataset"
) -> Path:
    """Write a folder with img2dataset's own writers."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"webdataset": "WebDatasetSampleWriter", "parquet": "ParquetSampleWriter"}
    writers = _writers()
    extras = list(dict.fromkeys(key for rows in shards for row in rows for key in row.extra))
    own = [pa.field(name, pa.string()) for name in ("url", "caption", *extras)]
    schema = pa.schema([*own, *_ADDED])
    for number, rows in enumerate(shards):
        writer = getattr(writers, names[output_format])(number, str(folder), True, 5, schema, "jpg")
        for at, row in enumerate(rows):
            key = f"{number:05d}{at:04d}"
            fine = row.picture is not None
            meta = {
                **{"url": row.url, "caption": row.caption},
                **{name: row.extra.get(name) for name in extras},
                **{"key": key, "status": "success" if fine else "failed_to_download"},
                "error_message": None if fine else "HTTP Error 404: Not Found",
                **{"width": 96, "height": 72, "original_width": 96, "original_height": 72},
                "sha256": f"{at:064x}" if fine else None,
            }
            writer.write(row.picture, key, row.caption, meta)
        writer.close()
    return folder


def facts_of(path: Path, key: str) -> dict[str, Any]:
    """Return a sample's JSON."""
    with tarfile.open(path) as tar:
        member = tar.extractfile(f"{key}.json")
        assert member is not None
        return dict(json.load(member))


def _writers() -> Any:
    """Import img2dataset's writers alone; the package would bring in its trackers."""
    package = importlib.util.find_spec("img2dataset")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "writer.py"
    spec = importlib.util.spec_from_file_location("img2dataset_writer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
