"""How long `curate view` takes to answer over a million pairs.

    python benchmarks/view.py                    # a million pairs, about ten minutes on two cores
    python benchmarks/view.py --pairs 20000      # a smoke test of the benchmark itself
    python benchmarks/view.py --folder DIR       # keep the run there, and measure it again

A run of half a million images with two texts each is committed: texts are the shipped captions with
words of others mixed in, scores and embeddings (256 wide) are random, two in a hundred partitions
have pictures (the shipped ones). `curate view` is started over it as its users start it, and asked
over HTTP as its page asks. Every question has values of its own, so that none is answered from
memory, but for those that say so. Printed are the seconds until the index is built and opened, and
of each kind of question the median, the 95th percentile and the greatest time in milliseconds.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from curate.core import columns
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.partition import Partition
from curate.core.plan import Node
from curate.core.selection import select
from curate.core.stage import SourceFile
from curate.core.store import Receipt, RunStore, Work
from curate.core.table import CommittedTable
from curate.stages.selectors.threshold import Config

ASSETS = Path(__file__).resolve().parents[1] / "curate" / "assets" / "quickstart"
WIDTH, PARTITION = 256, 1000
AIM_MS = 300
FIELDS = [
    *(columns.UID, columns.URL, columns.IMAGE, columns.WIDTH, columns.HEIGHT),
    *(*columns.TEXT_FIELDS, columns.score("filter_itc"), columns.score("filter_itm")),
    columns.embedding("filter_embed", WIDTH),
]


def captions() -> list[str]:
    """Return the shipped captions."""
    lines = (ASSETS / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def make_run(root: Path, num_images: int) -> None:
    """Commit a run of so many images with two texts each."""
    store, schema = RunStore(root), pa.schema(FIELDS)
    node = Node("passes/0/leg-0-bench", "bench", ("source",), schema)
    keys = pa.schema([columns.PARTITION, columns.ROW])
    facts = {"name": "a million pairs"}
    store.write_plan([node], pa.schema([*keys, *schema]), facts)
    rng, known = np.random.default_rng(0), captions()
    words = sorted({word for text in known for word in text.split()})
    bodies = [path.read_bytes() for path in sorted((ASSETS / "pictures").iterdir())]
    for number, start in enumerate(range(0, num_images, PARTITION)):
        count = min(PARTITION, num_images - start)
        shown = bodies if number % 50 == 0 else None
        table = _rows(rng, number, start, count, known, words, shown)
        partition = Partition(number, SourceFile("list", count, "", ""), 0, count)
        receipt = Receipt(number, count, count, {}, texts=2 * count)
        store.commit(node, partition, Work(table, LEDGER_SCHEMA.empty_table()), receipt)
    table = CommittedTable.open(root)
    config = Config(column="filter_itm", min=0.5)
    select(table, config.build(), config.model_dump(), name="default")


def _rows(
    rng: np.random.Generator,
    number: int,
    start: int,
    count: int,
    known: list[str],
    words: list[str],
    bodies: list[bytes] | None,
) -> pa.Table:
    texts = [
        [f"{known[a]} {words[b]} {words[c]}", f"{known[d]} {words[e]}"]
        for a, d, b, c, e in zip(
            *rng.integers(0, len(known), (2, count)),
            *rng.integers(0, len(words), (3, count)),
            strict=True,
        )
    ]
    vectors = rng.normal(size=(count, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    values: dict[str, Any] = {
        "partition": np.full(count, number, np.int32),
        "row": np.arange(count, dtype=np.int32),
        "uid": [hashlib.md5(b"%d" % (start + place)).hexdigest() for place in range(count)],
        "url": [f"http://host{(start + p) % 977}.test/{start + p}.jpg" for p in range(count)],
        "image": [bodies[place % len(bodies)] if bodies else None for place in range(count)],
        "width": rng.integers(64, 2000, count),
        "height": rng.integers(64, 2000, count),
        "texts": texts,
        "text_sources": [["web", "synthetic"]] * count,
        "text_models": [[None, "captioner"]] * count,
        "text_reasons": [[None, None]] * count,
        "filter_itc": rng.uniform(-0.2, 0.6, (count, 2)).tolist(),
        "filter_itm": rng.beta(0.6, 0.6, (count, 2)).tolist(),
        "filter_embed": list(vectors.astype(np.float16)),
    }
    fields = [columns.PARTITION, columns.ROW, *FIELDS]
    arrays = [pa.array(values[field.name], field.type) for field in fields]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


class Client:
    """The page's questions."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=300)
        self._headers: dict[str, str] = {}
        self._base = ""
        opened = self._ask("GET", f"/?{parts.query}")[1]
        self._headers["Cookie"] = opened["Set-Cookie"].split(";")[0]
        self._base = opened["Location"].rstrip("/")
        self.state = json.loads(self._ask("GET", "/api/state")[0])
        self._headers["X-Curate-Key"] = self.state["key"]

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[bytes, Any]:
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, self._base + path, data, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{path}: {response.status} {answer[:300]!r}")
        return answer, response.headers

    def get(self, path: str) -> None:
        self._ask("GET", path)

    def thumbnail(self, partition: int, row: int) -> None:
        self.get(f"/thumb/{partition}/{row}")

    def post(self, path: str, **body: Any) -> None:
        self._ask("POST", f"/api/{path}", body)

    def page(self, start: int = 0, **query: Any) -> None:
        self.post("page", query=query, start=start, count=48)


def _where(column: str, operator: str, value: Any) -> dict[str, Any]:
    return {"column": column, "operator": operator, "value": value}


def questions(client: Client, num_images: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield kinds of questions; each call asks one with values of its own."""
    rng = np.random.default_rng(1)
    words = sorted({word.strip(".,!") for text in captions() for word in text.split()})
    pairs = client.state["pairs"]

    def word() -> str:
        return str(rng.choice(words))

    def number(low: float = 0, high: float = 1) -> float:
        return float(rng.uniform(low, high))

    def threshold(against: str | None = "default") -> dict[str, Any]:
        return {"column": "filter_itm", "value": number(), "against": against}

    def image() -> list[int]:
        return [int(part) for part in divmod(rng.integers(num_images), PARTITION)]

    yield (
        "filter by a number",
        lambda: client.page(conditions=[_where("width", ">=", number(64, 2000))]),
    )
    yield (
        "filter by three columns",
        lambda: client.page(
            conditions=[
                _where("source", "=", "web"),
                _where("filter_itc", ">", number(-0.2, 0.5)),
                _where("height", "<", number(300, 2000)),
            ]
        ),
    )
    yield "text contains", lambda: client.page(conditions=[_where("text", "contains", word())])
    yield (
        "address contains",
        lambda: client.page(conditions=[_where("url", "contains", f"host{rng.integers(977)}.")]),
    )
    yield (
        "filter and sort by a score",
        lambda: client.page(
            conditions=[_where("width", ">=", number(64, 2000))], sort="filter_itm", descending=True
        ),
    )
    yield (
        "a page deep in the list (kept in memory)",
        lambda: client.page(sort="filter_itm", start=int(rng.integers(pairs - 48))),
    )
    yield "search by a word", lambda: client.page(words=word())
    yield "search by two words", lambda: client.page(words=f"{word()} {word()}")
    yield "search by a phrase", lambda: client.page(words=f'"{word()} {word()}"')
    yield "search by a picture of the run", lambda: client.page(near={"image": image()})
    yield "move the threshold", lambda: client.post("effect", query={}, threshold=threshold())
    yield (
        "move the threshold, with a filter",
        lambda: client.post(
            "effect",
            query={"conditions": [_where("width", ">=", number(64, 2000))]},
            threshold=threshold(),
        ),
    )
    yield "list what changes side", lambda: client.page(shifted=threshold(), sort="order:distance")
    yield (
        "histogram, with a filter",
        lambda: client.post(
            "histogram",
            query={"conditions": [_where("width", ">=", number(64, 2000))]},
            column="filter_itm",
        ),
    )
    yield (
        "mark a pair",
        lambda: client.post("mark", place=int(rng.integers(pairs)), good=bool(rng.integers(2))),
    )
    yield (
        "calibrate on the marks",
        lambda: client.post(
            "calibrate", query={}, column="filter_itm", measure="precision", value=number(0.5)
        ),
    )
    yield "everything about a pair", lambda: client.get(f"/api/pair/{rng.integers(pairs)}")
    shown = [number for number in range(-(-num_images // PARTITION)) if number % 50 == 0]
    yield (
        "a thumbnail",
        lambda: client.thumbnail(rng.choice(shown), rng.integers(min(PARTITION, num_images))),
    )


def measure(root: Path, num_images: int, times: int) -> None:
    """Start the application and ask."""
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "curate.cli", "view", str(root), "--no-browser", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        print(f"{said['pairs']:,} pairs, ready after {time.perf_counter() - began:.1f} s")
        client = Client(said["address"])
        began = time.perf_counter()
        client.page(sort="filter_itm", descending=True)
        first = time.perf_counter() - began
        print(f"first page, sorted by a score that is read and sorted now: {first * 1e3:.0f} ms")
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"{'question':42} {'median':>7} {'95%':>7} {'most':>7}")
        for name, ask in questions(client, num_images):
            ask()  # what it reads of the disk for the first time is in the line above
            took = sorted(_timed(ask) for _ in range(times))
            middle, high = (took[int(share * (times - 1))] for share in (0.5, 0.95))
            late = "" if high <= AIM_MS else f"  above {AIM_MS} ms"
            print(f"{name:42} {middle:7.0f} {high:7.0f} {took[-1]:7.0f}{late}", flush=True)
        with Path(f"/proc/{server.pid}/status").open(encoding="utf-8") as status:
            print(next(line.strip() for line in status if line.startswith("VmHWM")))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def _timed(ask: Callable[[], None]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Make the run where it is missing, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=50, help="questions of each kind")
    parser.add_argument("--folder", type=Path, help="keep the run here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "run" if options.folder is None else options.folder / "run"
        if not (root / "selections").exists():
            began = time.perf_counter()
            make_run(root, options.pairs // 2)
            print(f"run made in {time.perf_counter() - began:.0f} s")
        measure(root, options.pairs // 2, options.times)


if __name__ == "__main__":
    main()
