"""What a folder of somebody's data holds, and a recipe to begin with.

Looks at the first file alone. The recipe runs as it is, on the small models that come with curate,
and says where to put larger ones.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from curate.core.errors import SourceError
from curate.core.stage import Source
from curate.sources import image_folder, url_list
from curate.sources import webdataset as tars
from curate.sources._listing import Listing

_LISTS = (".parquet", ".arrow", ".feather", ".csv", ".tsv", ".jsonl", ".ndjson")
_URLS = ("url", "URL", "image_url", "source_url")
_TEXTS = ("text", "TEXT", "caption", "CAPTION", "alt_text", "captions")
_PICTURES = ("jpg", "png", "webp")
_LOOK_AT = 20


@dataclass(frozen=True)
class Found:
    """What a path holds.

    Attributes:
        what: for people.
        source: the recipe's source.
        pictures: the stage that brings the pictures in.
    """

    what: str
    source: Mapping[str, Any]
    pictures: Mapping[str, Any] = field(default_factory=dict)


def look(path: Path) -> Found:
    """Return what a path holds.

    Raises:
        SourceError: nothing there, or nothing that a source reads.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist: give a folder of shards, a list or pictures")
    for folder in (path / "shards", path / "metadata"):
        if folder.is_dir() and path.is_dir():  # a DataComp pool has both
            found = _in(folder)
            if found is not None:
                return found
    found = _in(path)
    if found is None:
        raise SourceError(
            f"{path} holds nothing that a source reads: tars, lists ({', '.join(_LISTS)}) with "
            f"URLs under one of {', '.join(_URLS)}, or pictures"
        )
    return found


def recipe_text(found: Found, name: str, output: str) -> str:
    """Return a recipe as YAML with comments.

    Args:
        found: what there is.
        name: the run's name.
        output: the run's folder.
    """
    parts = [
        f"# {found.what}, by 'curate import'.",
        "# The models come with curate and are small. For real work take BLIP's:",
        "#   {kind: blip, model: Salesforce/blip-image-captioning-large}",
        "#   {kind: blip, as: filter, model: Salesforce/blip-itm-large-coco}, and threshold 0.5",
        f"name: {_flow(name)}",
        f"source: {_flow(found.source)}",
        "stages:",
        "  - {kind: exact}                     # repeated rows",
        f"  - {_flow(found.pictures)}",
        "  - {kind: perceptual}                # the same picture twice",
        "  - {kind: text_length, min_words: 2, max_words: 64}",
        "  - {kind: captioners/med, temperature: 0.4, min_tokens: 2, max_tokens: 20}",
        "  - {kind: scorers/med, as: filter}",
        "# read what the canaries say before you trust a threshold",
        "select: {kind: capfilt, itm: filter_itm, threshold: 0.02}",
        "export: [{kind: webdataset}]",
        f"output: {_flow(output)}",
    ]
    return "\n".join(parts) + "\n"


def name_of(path: Path) -> str:
    """Return a name for a run, made of a path's last part."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", path.resolve().stem).strip("._-")
    return plain or "imported"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _in(path: Path) -> Found | None:
    if _files(path, (".tar",)):
        return _found_tars(path)
    lists = _files(path, _LISTS)
    tables = [found for file in lists[:1] if (found := _found_list(path, file)) is not None]
    pictures = path.is_dir() and any(_pictures(path))
    if tables and not (pictures and tables[0].source["kind"] == "url_list"):
        return tables[0]
    return _found_pictures(path) if pictures else None


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return a folder's files with these endings, or the file itself, by name."""
    if path.is_file():
        return [path] if path.suffix.lower() in suffixes else []
    found = (file for file in path.rglob("*") if file.suffix.lower() in suffixes)
    return sorted(itertools.islice(found, 10_000))


def _found_tars(path: Path) -> Found:
    here = str(path)
    root = str(path.parent if path.is_file() else path)
    names = tars.Config(path=here).build().schema().names
    unpack = {"kind": "unpack", "root": root}
    if {"source_url", "source_uid"} <= set(names):
        return Found("a DataComp pool", {"kind": "datacomp", "path": here}, unpack)
    if {"source_url", "status"} <= set(names):
        return Found("img2dataset's tars", {"kind": "img2dataset", "path": here}, unpack)
    texts = _tar_texts(here, names)
    return Found("WebDataset tars", {"kind": "webdataset", "path": here, **texts}, unpack)


def _tar_texts(path: str, names: list[str]) -> dict[str, Any]:
    """Return the options under which the first samples have texts; none where ``txt`` has."""
    keys = [name for name in ("caption", "text") if {name, f"source_{name}"} & set(names)]
    tried: list[dict[str, Any]] = [{}, *({"texts": "json", "text": key} for key in keys)]
    for options in tried:
        if any(_first_texts(tars.Config.model_validate({"path": path, **options}).build())):
            return options
    return {"texts": None}


def _first_texts(source: Source) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as spool:
        file = next(iter(source.files(Path(spool), {})))
        rows = source.read(file, 0, min(file.rows, _LOOK_AT)).rows
        yield from itertools.chain.from_iterable(rows["texts"].to_pylist())


def _found_list(path: Path, first: Path) -> Found | None:
    names, pictures = _columns(first)
    url = next((name for name in _URLS if name in names), None)
    text = next((name for name in _TEXTS if name in names), None)
    if url is None:
        return None
    here = str(path)
    if pictures and {"url", "caption", "status", "key"} <= set(names):
        unpack: dict[str, Any] = {"kind": "unpack", "root": str(first.parent)}
        if pictures != "jpg":
            unpack["image_column"] = pictures
        source = {"kind": "img2dataset", "path": here, "format": "parquet"}
        return Found("img2dataset's Parquet files", source, unpack)
    what = "DataComp's metadata" if {"uid", "sha256"} <= set(names) else "a list of URLs"
    columns = {"url": url, "text": text}
    return Found(
        what, {"kind": "url_list", "path": here, **columns}, {"kind": "fetch", "resize": 384}
    )


def _columns(file: Path) -> tuple[list[str], str | None]:
    """Return a list's columns, and which of them holds pictures.

    Raises:
        SourceError: it cannot be read.
    """
    if file.suffix.lower() != ".parquet":
        config = url_list.Config(path=str(file))
        listing = Listing(config.paths, suffixes=url_list.SUFFIXES)
        return url_list.header(listing, listing.files[0], config).names, None
    try:
        schema = pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"cannot read {file}: {error}") from error
    holds = (n for n in _PICTURES if n in schema.names and pa.types.is_binary(schema.field(n).type))
    return schema.names, next(holds, None)


def _pictures(folder: Path) -> Iterator[Path]:
    return (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in image_folder.IMAGE_SUFFIXES and path.is_file()
    )


def _found_pictures(folder: Path) -> Found:
    first = list(itertools.islice(_pictures(folder), _LOOK_AT))
    beside = [
        end for end in ("txt", "json") if any(p.with_suffix(f".{end}").exists() for p in first)
    ]
    texts: dict[str, Any] = {"texts": beside[0] if beside else None}
    what = {"txt": "pictures with .txt", "json": "pictures with .json"}
    return Found(
        what.get(beside[0], "") if beside else "pictures without texts",
        {"kind": "image_folder", "path": str(folder), **texts},
        {"kind": "load", "root": str(folder)},
    )
