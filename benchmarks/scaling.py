"""How throughput grows with workers, and whether the ray engine keeps 32 devices busy.

    python benchmarks/scaling.py            # about ten minutes on two cores, 8 GiB
    python benchmarks/scaling.py --quick    # a smoke test of the benchmark itself

Workers: the shipped pictures captioned by curate-tiny, by one worker and by two, of one thread
each. Devices: a stage that sleeps as a device would compute, with 32 actors; printed is the share
of the devices' time in which they had work, start-up and the last partitions' tail included.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from curate.core.fakes import FakeMapConfig, FakeSourceConfig, fake_plan
from curate.core.plan import LegPlan, Plan, StagePlan, compile_plan
from curate.core.store import Receipt, RunStore
from curate.engine.base import EngineConfig
from curate.engine.ray_actors import RayEngine
from curate.passes import PassRunner, Watcher
from curate.sources import image_folder
from curate.stages.captioners import med as captioner
from curate.stages.download import load

PICTURES = Path(__file__).resolve().parents[1] / "curate" / "assets" / "quickstart" / "pictures"


class Clock(Watcher):
    """Notes the last leg's commits."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self.commits: list[float] = []

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        """Note the time."""
        if leg.node.stages[-1] == self._stage:
            self.commits.append(time.perf_counter())


def run(plan: Plan, stage: str, workers: int) -> tuple[list[float], float]:
    """Run a plan; returns the times of the stage's commits, and when its pass began."""
    root = Path(tempfile.mkdtemp(prefix="curate-benchmark-"))
    engine = RayEngine(EngineConfig(kind="ray", workers={stage: workers}))
    clock = Clock(stage)
    try:
        store = RunStore(root)
        store.write_plan(plan.nodes, plan.schema, {})
        begun = time.perf_counter()
        PassRunner(plan, store, lambda: engine, clock).run()
        return clock.commits, begun
    finally:
        engine.close()
        shutil.rmtree(root)


def caption_plan(copies: int) -> Plan:
    """The shipped pictures, several times over, captioned."""
    folder = Path(tempfile.mkdtemp(prefix="curate-benchmark-pictures-"))
    for copy in range(copies):
        shutil.copytree(PICTURES, folder / str(copy))
    source = image_folder.Config(path=str(folder), texts=None, partition_rows=32)
    write = captioner.Config(model="curate-tiny", num_cpus=1, max_tokens=12)
    plans = [
        StagePlan("download", "load", "load", load.Config(root=str(folder), resize=288)),
        StagePlan("captioners", "med", "med", write),
    ]
    listed = StagePlan("sources", "image_folder", "image_folder", source)
    return compile_plan(listed, source.build().schema(), plans)


def workers(copies: int, rounds: int) -> None:
    """Print how much two workers do of what one does."""
    plan = caption_plan(copies)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count in (1, 2):
            commits, _ = run(plan, "med", count)
            rates[count].append((len(commits) - count) / (commits[-1] - commits[count - 1]))
    print(f"\nworkers, {256 * copies} pictures in partitions of 32, {rounds} rounds")
    print("| workers | rate, of one worker's median | range |\n| --- | --- | --- |")
    base = sorted(rates[1])[rounds // 2]
    for count, found in rates.items():
        ordered = sorted(one / base for one in found)
        print(
            f"| {count} | {ordered[rounds // 2]:.2f} | {ordered[0]:.2f} to {ordered[-1]:.2f} |",
            flush=True,
        )


def devices(counts: Sequence[int], sleep_s: float, partitions_each: int) -> None:
    """Print how busy simulated devices are."""
    print(
        f"\nsimulated devices, {sleep_s:g} s a partition of 1,000 rows, "
        f"{partitions_each} partitions a device"
    )
    print("| devices | partitions/s | busy, first commit to last | busy, whole pass |")
    print("| --- | --- | --- | --- |")
    for count in counts:
        total = count * partitions_each
        source = FakeSourceConfig(files=(total * 1000,), partition_rows=1000)
        stage = FakeMapConfig(writes_as="device", num_cpus=0.05, sleep_s=sleep_s)
        commits, begun = run(fake_plan(source, stage), "device", count)
        steady = (total - count) * sleep_s / count / (commits[-1] - commits[count - 1])
        whole = total * sleep_s / count / (commits[-1] - begun)
        rate = (total - count) / (commits[-1] - commits[count - 1])
        print(f"| {count} | {rate:.1f} | {steady:.1%} | {whole:.1%} |", flush=True)


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="a smoke test, no measurement")
    quick = parser.parse_args().quick
    logging.disable(logging.WARNING)
    workers(copies=1 if quick else 4, rounds=1 if quick else 3)
    if quick:
        devices((2,), 0.2, 4)
    else:
        devices((8, 32), 2.5, 24)


if __name__ == "__main__":
    main()
