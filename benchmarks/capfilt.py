"""CapFilt's work on one image, against the loops that people write around transformers.

    python benchmarks/capfilt.py            # 224 and 384 pixels, about half an hour on two cores
    python benchmarks/capfilt.py --quick    # a smoke test of the benchmark itself

The work: one sampled caption of 20 tokens, then ITC and ITM of the web text and of the caption, by
two BLIP-base checkpoints of random weights. Four ways, each in a process of its own, taking turns:
the loop at batch 1, the loop at batch 16, and curate's stages in float32 and in bfloat16. Printed
are ratios of images a second, passes of a vision tower an image, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from blip_loops import TOKENS, Passes, loaded_by_users, practice_pairs, write_checkpoints

WAYS = ("loop, batch 1", "loop, batch 16", "curate", "curate, bfloat16")


def by_loop(folder: Path, count: int, batch: int) -> dict[str, float]:
    """Run the users' loop; returns seconds, vision passes and nothing of the start."""
    import torch

    bodies, texts = practice_pairs(count)
    paths = folder / "captioner", folder / "filter"
    with loaded_by_users(*paths, device="cpu", dtype=torch.float32) as (step, passes):
        step(bodies[:1], texts[:1])
        passes.images = 0
        begun = time.perf_counter()
        for start in range(0, count, batch):
            step(bodies[start : start + batch], texts[start : start + batch])
        return {"seconds": time.perf_counter() - begun, "passes": passes.images / count}


def by_curate(folder: Path, count: int, dtype: str) -> dict[str, float]:
    """Run the stages on a partition."""
    import pyarrow as pa
    import torch

    from curate.core import columns
    from curate.stages.captioners import blip as captioner
    from curate.stages.scorers import blip as scorer

    bodies, texts = practice_pairs(count)
    lists = {"texts": [[text] for text in texts], "text_sources": [["web"]] * count}
    lists |= {"text_models": [[None]] * count, "text_reasons": [[None]] * count}
    rows = pa.table(
        {
            "partition": pa.array([0] * count, pa.int32()),
            "row": pa.array(range(count), pa.int32()),
            "uid": pa.array([f"{number:032x}" for number in range(count)]),
            "image": pa.array(bodies, pa.binary()),
            **{
                field.name: pa.array(lists[field.name], field.type) for field in columns.TEXT_FIELDS
            },
        }
    )
    common = {"dtype": dtype, "device": "cpu", "num_cpus": torch.get_num_threads()}
    tokens = {"min_tokens": TOKENS, "max_tokens": TOKENS, "prompt": ""}
    write = captioner.Config.model_validate(
        {"model": str(folder / "captioner"), "batch_size": 16, **common, **tokens}
    ).build()
    judge = scorer.Config.model_validate(
        {"model": str(folder / "filter"), "batch_size": 16, "canaries": 0, **common}
    ).build()
    passes = Passes()
    with write.ready(), judge.ready():
        for stage in (write, judge):
            passes.watch(stage._model._model)  # type: ignore[union-attr]
        judge(write(rows.slice(0, 1)).rows)
        passes.images = 0
        begun = time.perf_counter()
        judge(write(rows).rows)
        return {"seconds": time.perf_counter() - begun, "passes": passes.images / count}


def one_way(way: str, folder: Path, count: int) -> dict[str, float]:
    """Run one way in this process."""
    if way.startswith("loop"):
        found = by_loop(folder, count, int(way.rpartition(" ")[2]))
    else:
        found = by_curate(folder, count, "bfloat16" if "bfloat16" in way else "float32")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rate": count / found["seconds"], "passes": found["passes"], "peak_mib": peak}


def measure(image_size: int, count: int, rounds: int) -> None:
    """Print one size's table."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="curate-benchmark-") as name:
        folder = Path(name)
        write_checkpoints(folder, size="base", image_size=image_size)
        for _ in range(rounds):
            for way in WAYS:
                # a fourth of the images suffice at batch 1, where every image is a batch
                images = max(4, count // 4) if way == WAYS[0] else count
                command = [sys.executable, __file__, "--way", way, "--folder", name]
                said = subprocess.run(
                    [*command, "--images", str(images)],
                    check=True,
                    stdout=subprocess.PIPE,
                )
                found[way].append(json.loads(said.stdout.splitlines()[-1]))
    rates = {way: [one["rate"] for one in ones] for way, ones in found.items()}
    base = statistics.median(rates[WAYS[0]])
    batched = statistics.median(rates[WAYS[1]])
    print(f"\n{image_size} pixels, {count} images, {rounds} rounds")
    print("| way | of batch 1 | of batch 16 | range, of batch 16 | vision passes | peak, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way in WAYS:
        rate = statistics.median(rates[way])
        low, high = (edge / batched for edge in (min(rates[way]), max(rates[way])))
        peak = max(one["peak_mib"] for one in found[way])
        print(
            f"| {way} | {rate / base:.2f} | {rate / batched:.2f} | {low:.2f} to {high:.2f} | "
            f"{found[way][0]['passes']:.0f} | {peak:,.0f} |",
            flush=True,
        )


def main() -> None:
    """Measure, or run one way for the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="a smoke test, no measurement")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way:
        print(json.dumps(one_way(chosen.way, chosen.folder, chosen.images)))
    elif chosen.quick:
        measure(96, 4, 1)
    else:
        for image_size in (224, 384):
            measure(image_size, chosen.images, chosen.rounds)


if __name__ == "__main__":
    main()
