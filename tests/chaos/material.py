"""A small web of pictures and a recipe that goes through everything a run has: two barriers, three
passes, a download, two models, canaries, a selection, a view and an export."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.images.pictures import jpeg
from tests.models.checkpoints import tiny_med

ROWS = 40
#: Pictures that the server does not give at first.
TROUBLED = tuple(f"/{number}.jpg" for number in range(4, ROWS, 9))
WORDS = ("a red dog", "two birds in the snow", "cats", "a small house under a tree", "")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # more than all workers ask at once, or some wait for seconds

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that were killed do not listen to the end."""


class Web:
    """Pictures on loopback: one in eight is gone, one in ten small, one in six a repeat.

    Attributes:
        address: where they are.
        down: whether every ninth picture is answered by 503 for now.
        delay_s: how long every answer is held back.
    """

    def __init__(self, folder: Path) -> None:
        self.down = True
        self.delay_s = 0.0
        folder.mkdir(parents=True)
        for number in range(ROWS):
            if number % 8 != 7:
                side = 40 if number % 10 == 9 else 96
                seed = number - 1 if number % 6 == 5 else number
                (folder / f"{number}.jpg").write_bytes(jpeg(seed, width=side, height=side))
        web = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(web.delay_s)
                if web.down and self.path in TROUBLED:
                    self.send_error(503)
                else:
                    super().do_GET()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        handler = functools.partial(Handler, directory=str(folder))
        self._server = _Server(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Web:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


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
            {
                **{"kind": "fetch", "resize": 64, "allow_hosts": ["127.0.0.1"]},
                # on a busy machine, too, only what the server says decides
                **{"timeout_s": 100, "connect_timeout_s": 50, "idle_timeout_s": 50},
                **{"retries": 4, "backoff_s": 0.02, "host_failures": 1000},
            },
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
