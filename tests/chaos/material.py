"""A small web of pictures and a recipe that goes through everything a run has: two barriers, three
passes, a download, two models, canaries, a selection, a view and an export."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.images.pictures import jpeg
from tests.models.checkpoints import tiny_med

ROWS = 40
WORDS = ("a red dog", "two birds in the snow", "cats", "a small house under a tree", "")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def web(folder: Path) -> Iterator[str]:
    """Serve pictures on loopback: one in eight is gone, one in ten small, one in six a repeat."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(ROWS):
        if number % 8 != 7:
            side = 40 if number % 10 == 9 else 96
            seed = number - 1 if number % 6 == 5 else number
            (folder / f"{number}.jpg").write_bytes(jpeg(seed, width=side, height=side))
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_material(folder: Path, address: str) -> Path:
    """Write lists (two files; rows that repeat earlier ones), a model and the recipe.

    Returns:
        The recipe; it needs ``--output``.
    """
    rows = [(f"{address}/{n}.jpg", f"{WORDS[n % 5]} {n}") for n in range(ROWS)]
    rows += rows[3:9]
    lists = folder / "lists"
    lists.mkdir(parents=True)
    for index, part in enumerate((rows[:29], rows[29:])):
        urls, texts = zip(*part, strict=True)
        pq.write_table(pa.table({"URL": urls, "TEXT": texts}), lists / f"{index}.parquet")
    model = str(tiny_med(folder / "med"))
    recipe = {
        "name": "chaos",
        "source": {
            **{"kind": "url_list", "path": str(lists / "*.parquet"), "url": "URL", "text": "TEXT"},
            "partition_rows": 8,
        },
        "stages": [
            {"kind": "exact"},
            {"kind": "fetch", "resize": 64, "allow_hosts": ["127.0.0.1"], "retries": 2},
            {"kind": "resolution", "min_side": 60},
            {"kind": "perceptual"},
            {"kind": "text_length", "min_words": 2},
            {"kind": "captioners/med", "model": model, "min_tokens": 2, "max_tokens": 6},
            {"kind": "scorers/med", "as": "filter", "model": model, "canaries": 0.25},
        ],
        "select": {"kind": "top_fraction", "column": "filter_itm", "fraction": 0.6},
        "sinks": [{"kind": "lance", "batch": 2}],
        "export": [{"kind": "webdataset", "shard_rows": 9}],
        "output": str(folder / "run"),
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path
