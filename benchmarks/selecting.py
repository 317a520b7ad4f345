"""Deciding a selection anew, for every policy: seconds for ten million rows, and a loop beside it.

    python benchmarks/selecting.py                    # ten million rows (4 GB of disk)
    python benchmarks/selecting.py --rows 200000      # a smoke test of the benchmark itself
    python benchmarks/selecting.py --folder big       # keep the table there and take it again

The table is a run's as it lies on disk, without pictures: a leg that read a list (keys, uid, url,
web texts), a captioner's leg (the texts with a synthetic caption more) and a scorer's (ITC and
ITM), in partitions of 1,000 rows, each with its commit. Every row has a web text and a caption.

Beside it is the loop people write: pandas reads a partition's texts' sources and scores, explodes
the lists, applies the rule of ``capfilt`` and writes a Parquet file, one partition after the other.
It keeps no law, counts nothing and flushes nothing. It takes every n-th partition only; the ratio
is of rows a second.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curate.after_passes import select_texts
from curate.core import columns
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.partition import Partition
from curate.core.plan import Node
from curate.core.stage import SourceFile
from curate.core.store import Receipt, RunStore, Work
from curate.core.table import CommittedTable
from curate.recipe import parse_stage

POLICIES: dict[str, list[str]] = {
    "capfilt": ["itm=filter_itm", "threshold=0.5"],
    "threshold": ["column=filter_itc", "min=0.2", "max=0.9"],
    "top_fraction": ["column=filter_itc", "fraction=0.3"],
    "best_k": ["column=filter_itm", "k=1"],
    "rescue": ["column=filter_itm", "min=0.5"],
    "mixture": ["column=filter_itm", "synthetic=0.6"],
    "source": ["keep=[web]"],
}
NODES = (
    Node(
        "passes/0/leg-0-00000000",
        "0" * 64,
        ("url_list", "fetch"),
        pa.schema([columns.UID, columns.URL, *columns.TEXT_FIELDS]),
    ),
    Node("passes/0/leg-1-11111111", "1" * 64, ("captioner",), pa.schema(columns.TEXT_FIELDS)),
    Node(
        "passes/0/leg-2-22222222",
        "2" * 64,
        ("filter",),
        pa.schema([columns.score("filter_itc"), columns.score("filter_itm")]),
    ),
)
WORDS = np.array(["a", "the", "dog", "cat", "house", "red", "old", "photo", "of", "on"], object)


def make_table(root: Path, rows: int, partition_rows: int) -> None:
    """Commit a run of so many rows; what is there already stays."""
    store = RunStore(root)
    fields = {field.name: field for node in NODES for field in node.schema or ()}
    keys = [columns.PARTITION, columns.ROW]
    store.write_plan(NODES, pa.schema([*keys, *fields.values()]), {"name": "big"})
    done = store.committed(NODES[-1])
    todo = [n for n in range(-(-rows // partition_rows)) if n not in done]
    with ProcessPoolExecutor(4) as pool:
        parts = np.array_split(np.array(todo, int), max(1, min(len(todo), 64)))
        list(
            pool.map(_commit, [root] * 64, [part.tolist() for part in parts], [partition_rows] * 64)
        )


def _commit(root: Path, numbers: Sequence[int], rows: int) -> None:
    store = RunStore(root)
    for number in numbers:
        table = _rows(number, rows)
        file = SourceFile("list.parquet", rows, "", "")
        partition = Partition(number, file, number * rows, (number + 1) * rows)
        for leg, node in enumerate(NODES):
            assert node.schema is not None
            names = [*columns.KEYS, *node.schema.names]
            part = table.select(names) if leg else _web_alone(table).select(names)
            receipt = Receipt(number, rows, rows, {}, texts=rows * (2 if leg else 1))
            store.commit(node, partition, Work(part, LEDGER_SCHEMA.empty_table()), receipt)


def _rows(number: int, count: int) -> pa.Table:
    """A partition with both texts of each row; scores of web texts are lower, some are missing."""
    draw = np.random.default_rng(number)
    texts = [" ".join(words) for words in draw.choice(WORDS, (2 * count, 10))]
    offsets = pa.array(np.arange(0, 2 * count + 1, 2, dtype=np.int32))
    itm = draw.beta(2, np.tile([2.0, 1.0], count)).astype(np.float32)
    missing = draw.random(2 * count) < 0.01

    def lists(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, values)

    uids = [value.tobytes().hex() for value in draw.integers(0, 256, (count, 16), np.uint8)]
    arrays = {
        "partition": pa.array(np.full(count, number, np.int32)),
        "row": pa.array(np.arange(count, dtype=np.int32)),
        "uid": pa.array(uids),
        "url": pa.array([f"https://host-{u[:3]}.example/pictures/{u[3:20]}.jpg" for u in uids]),
        "texts": lists(pa.array(texts)),
        "text_sources": lists(pa.array(["web", "synthetic"] * count)),
        "text_models": lists(pa.array([None, "blip@0123456789ab top_p 0.9"] * count, pa.string())),
        "text_reasons": lists(
            pa.array(np.where(draw.random(2 * count) < 0.05, "too_short", None), pa.string())
        ),
        "filter_itc": lists(pa.array((itm * 0.6 - 0.1).astype(np.float32), mask=missing)),
        "filter_itm": lists(pa.array(itm, mask=missing)),
    }
    return pa.table(arrays)


def _web_alone(rows: pa.Table) -> pa.Table:
    """The rows as the first leg had them: without the captions."""
    import pyarrow.compute as pc

    for field in columns.TEXT_FIELDS:
        index = rows.schema.get_field_index(field.name)
        rows = rows.set_column(index, field, pc.list_slice(rows[field.name], 0, 1).cast(field.type))
    return rows


def by_curate(root: Path, kind: str) -> tuple[float, float, int]:
    """Select once; returns seconds from opening the run on, those of CPU, and the texts kept."""
    begun, worked = time.perf_counter(), time.process_time()
    table = CommittedTable.open(root)
    plan = parse_stage({"kind": kind}, POLICIES[kind], "selectors", scores=table.score_names)
    selection, _ = select_texts(plan, table, f"bench-{kind}")
    return time.perf_counter() - begun, time.process_time() - worked, selection.selected


def by_pandas(root: Path, numbers: Sequence[int]) -> tuple[float, float]:
    """The rule of ``capfilt`` in a loop; returns seconds, and those of CPU."""
    store = RunStore(root)
    begun, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        for number in numbers:
            texts = pd.read_parquet(
                store.part(NODES[1], number), columns=["row", "text_sources", "text_reasons"]
            )
            scores = pd.read_parquet(store.part(NODES[2], number), columns=["row", "filter_itm"])
            flat = texts.merge(scores, on="row")
            flat = flat.explode(["text_sources", "text_reasons", "filter_itm"])
            keep = flat["text_reasons"].isna() & (flat["filter_itm"].astype(float) >= 0.5)
            flat.assign(selected=keep)[["row", "selected"]].to_parquet(
                Path(folder) / f"{number}.parquet"
            )
    return time.perf_counter() - begun, time.process_time() - worked


def measure(root: Path, kinds: Sequence[str], every: int, rounds: int) -> None:
    """Print the table."""
    table = CommittedTable.open(root)
    rows, partitions = sum(table.num_rows().values()), table.partitions
    some = partitions[:: max(1, every)]
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    loop = []
    kept: dict[str, int] = {}
    share = len(some) / len(partitions)
    for _ in range(rounds):
        seconds, work = by_pandas(root, some)
        loop.append((seconds / share, work / share))
        for kind in kinds:
            shutil.rmtree(root / "decisions", ignore_errors=True)
            shutil.rmtree(root / "selections", ignore_errors=True)
            seconds, work, kept[kind] = by_curate(root, kind)
            taken[kind].append((seconds, work))
            print(f"  {kind}: {seconds:.1f} s, CPU {work:.1f} s", flush=True)
    base, base_work = map(statistics.median, zip(*loop, strict=True))
    print(f"\n{rows:,} rows in {len(partitions):,} partitions, {rounds} round(s)")
    print("| policy | seconds | times the loop | CPU seconds | times the loop | texts kept |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, each in taken.items():
        middle, work = map(statistics.median, zip(*each, strict=True))
        print(
            f"| `{kind}` | {middle:.0f} | {base / middle:.1f} | {work:.0f} "
            f"| {base_work / work:.1f} | {kept[kind]:,} |"
        )
    name = f"pandas loop, `capfilt` (every {every}th partition)"
    print(f"| {name} | {base:.0f} | 1.0 | {base_work:.0f} | 1.0 | |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"\npeak memory of this process {peak:,.0f} MiB")


def main() -> None:
    """Make the table and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--partition-rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--every", type=int, default=20, help="partitions of the loop: one in so many"
    )
    parser.add_argument("--policies", nargs="*", choices=POLICIES, default=list(POLICIES))
    parser.add_argument(
        "--folder", type=Path, help="keep the table here; a temporary one by default"
    )
    chosen: Any = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="curate-benchmark-") as temporary:
        root = (chosen.folder or Path(temporary)) / "run"
        make_table(root, chosen.rows, chosen.partition_rows)
        measure(root, chosen.policies, chosen.every, chosen.rounds)


if __name__ == "__main__":
    main()
