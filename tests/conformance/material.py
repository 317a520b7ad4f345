"""What the conformance tests run every kind on: options, a partition with every column, texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.core import columns
from curate.core.families import find
from curate.images import prepare
from tests.images.pictures import encoded, scene
from tests.models.captioner_checkpoints import TINY_BY_KIND
from tests.models.checkpoints import tiny_blip_scorer, tiny_coca, tiny_med
from tests.models.tiny_scorers import TINY
from tests.sources.packed import write_tar
from tests.stages.download.site import Site, response, serve

COUNT = 5
SHARD = pa.field("shard", pa.string())
SHARD_PLACE = pa.field("shard_place", pa.int64())
SHARD_BYTES = pa.field("shard_bytes", pa.int64())


def texts_of(row: int) -> list[str]:
    """Return a row's texts: none, one or two, some short."""
    return [[], ["a red dog on the grass"], ["DSC_0012.jpg", "two birds in the snow"]][row % 3]


def body_of(row: int) -> bytes:
    """Return a row's picture; the last repeats the first."""
    return encoded(scene(row % (COUNT - 1), width=80 + 40 * (row % 3), height=64), "PNG")


@dataclass(frozen=True)
class Material:
    """Things on disk and on the network that kinds need.

    Attributes:
        folder: holds pictures, a list and checkpoints.
        site: serves the same pictures.
        places: tar, offset and size of the same pictures in ``shards``.
    """

    folder: Path
    site: Site
    places: Sequence[tuple[str, int, int]]

    def options(self, family: str, kind: str) -> dict[str, Any]:
        """Return the options a kind needs beside its defaults; none for a kind not named here."""
        models = self.folder / "models"
        if family == "scorers" and kind in TINY:
            embed = {"embed": True} if "embed" in find(family, kind).config().model_fields else {}
            return {"model": str(models / kind), "canaries": 0.5, **embed}
        if family == "captioners" and kind in TINY_BY_KIND:
            return {"model": str(models / f"{kind}-captioner"), "max_tokens": 8}
        table: Mapping[str, dict[str, Any]] = {
            "sources/url_list": {"path": str(self.folder / "list.parquet")},
            "sources/image_folder": {"path": str(self.folder / "pictures")},
            "sources/webdataset": {"path": str(self.folder / "shards")},
            "sources/img2dataset": {"path": str(self.folder / "shards")},
            "sources/datacomp": {"path": str(self.folder / "shards")},
            "download/unpack": {"resize": 48, "root": str(self.folder / "shards")},
            "download/fetch": {"resize": 48, "resolve": self.site.resolve},
            "download/load": {"resize": 48, "root": str(self.folder / "pictures")},
            "filters/resolution": {"min_side": 64, "max_side": 150},
            "filters/aspect_ratio": {"max": 2.0},
            "text_filters/text_length": {"min_words": 2},
            "captioners/med": {"model": str(models / "med"), "max_tokens": 8},
            "captioners/coca": {"model": str(models / "coca"), "max_tokens": 8},
            "scorers/blip": {"model": str(models / "blip-scorer"), "canaries": 0.5},
            "scorers/med": {"model": str(models / "med"), "canaries": 0.5},
            "scorers/coca": {"model": str(models / "coca"), "canaries": 0.5, "embed": True},
            "selectors/best_k": {"column": "filter_itm", "k": 1},
            "selectors/capfilt": {"itm": "filter_itm"},
            "selectors/mixture": {"column": "filter_itm"},
            "selectors/rescue": {"column": "filter_itm", "min": 0.4},
            "selectors/source": {"keep": ["synthetic"]},
            "selectors/threshold": {"column": "filter_itm", "min": 0.3},
            "selectors/top_fraction": {"column": "filter_itm", "fraction": 0.5},
        }
        return table.get(f"{family}/{kind}", {})

    def rows(self) -> pa.Table:
        """Return a partition that has every column a stage may read."""
        made = [prepare(body_of(row), size=None, mode="no") for row in range(COUNT)]
        texts = [texts_of(row) for row in range(COUNT)]
        values: dict[pa.Field, list[Any]] = {
            columns.PARTITION: [7] * COUNT,
            columns.ROW: [2 * row for row in range(COUNT)],
            columns.UID: [f"{row % (COUNT - 1):032x}" for row in range(COUNT)],
            columns.URL: [self.site.url(f"/{row}.png") for row in range(COUNT)],
            columns.PATH: [f"{row}.png" for row in range(COUNT)],
            SHARD: [self.places[row][0] for row in range(COUNT)],
            SHARD_PLACE: [self.places[row][1] for row in range(COUNT)],
            SHARD_BYTES: [self.places[row][2] for row in range(COUNT)],
            columns.TEXTS: texts,
            columns.TEXT_SOURCES: [["web"] * len(some) for some in texts],
            columns.TEXT_MODELS: [[None] * len(some) for some in texts],
            columns.TEXT_REASONS: [[None] * len(some) for some in texts],
        }
        for field in (columns.IMAGE, columns.WIDTH, columns.HEIGHT, columns.SHA256, columns.PHASH):
            values[field] = [getattr(one, field.name) for one in made]
        values[columns.ORIGINAL_WIDTH] = [one.original_width for one in made]
        values[columns.ORIGINAL_HEIGHT] = [one.original_height for one in made]
        arrays = [pa.array(column, field.type) for field, column in values.items()]
        return pa.Table.from_arrays(arrays, schema=pa.schema(list(values)))


def shard_of(folder: Path, row: int) -> tuple[str, int, int]:
    """Write a tar with one row as a sample of DataComp's; returns where its picture lies."""
    facts = {"url": f"http://x.test/{row}.png", "uid": f"{row:032x}"}
    text = (texts_of(row) or [""])[0]
    sample = {"png": body_of(row), "txt": text, "json": json.dumps({**facts, "caption": text})}
    path = write_tar(folder / f"{row:05d}.tar", {f"{row}.{k}": v for k, v in sample.items()})
    return path.name, path.read_bytes().index(body_of(row)), len(body_of(row))


@contextmanager
def material(folder: Path) -> Iterator[Material]:
    """Put everything in place and serve it."""
    pictures = folder / "pictures"
    pictures.mkdir()
    with serve() as site:
        for row in range(COUNT):
            (pictures / f"{row}.png").write_bytes(body_of(row))
            (pictures / f"{row}.txt").write_text("\n".join(texts_of(row)))
            site.pages[f"/{row}.png"] = response(body_of(row))
        urls = [site.url(f"/{row}.png") for row in range(COUNT)]
        rows = pa.table({"url": urls, "text": [texts_of(row) for row in range(COUNT)]})
        pq.write_table(rows, folder / "list.parquet", row_group_size=2)
        for kind, make_captioner in TINY_BY_KIND.items():
            make_captioner(folder / "models" / f"{kind}-captioner")
        tiny_blip_scorer(folder / "models" / "blip-scorer")
        tiny_med(folder / "models" / "med")
        tiny_coca(folder / "models" / "coca")
        for kind, make in TINY.items():
            make(folder / "models" / kind)
        yield Material(folder, site, [shard_of(folder / "shards", row) for row in range(COUNT)])


def eligible_texts(count: int) -> pa.Table:
    """Return texts as selectors see them, with two score columns, some without a number."""
    scores = [None if i % 5 == 4 else (i * 7 % 10) / 10 for i in range(count)]
    return pa.table(
        {
            "partition": pa.array([0] * count, pa.int32()),
            "row": pa.array(range(count), pa.int32()),
            "uid": [f"{i:032x}" for i in range(count)],
            "text_index": pa.array([0] * count, pa.int32()),
            "text": pa.array([f"text {i}" for i in range(count)], pa.string()),
            "source": pa.array([columns.SOURCES[i % 3] for i in range(count)], pa.string()),
            "model": pa.nulls(count, pa.string()),
            "filter_itm": pa.array(scores, pa.float32()),
            "filter_itc": pa.array(scores, pa.float32()),
        }
    )


def near(left: Any, right: Any) -> bool:
    """Whether two results are equal, floats to within 1e-5."""
    if isinstance(left, pa.Table):
        return left.schema == right.schema and near(left.to_pylist(), right.to_pylist())
    if isinstance(left, (pa.Array, pa.ChunkedArray)):
        return left.type == right.type and near(left.to_pylist(), right.to_pylist())
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(near(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(near, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= 1e-5
    return bool(left == right)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys; fails on what is no JSON."""
    return json.dumps(value, sort_keys=True, allow_nan=False)
