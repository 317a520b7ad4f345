"""What the engines cost beside a bare loop of the same model calls, and per empty partition.

    python benchmarks/engine.py            # both tables, about ten minutes on two cores
    python benchmarks/engine.py --quick    # a smoke test of the benchmark itself

Overhead: the shipped pictures are captioned and scored by a MED of random weights, partition by
partition: by a bare loop that calls the stages and keeps nothing, by the local engine and by the
ray engine, which commit every partition. All take their turns several times in one run; start-up
(models, actors) is left out, the ratio of the medians is printed. Bare loop and local engine
compute on two threads; the ray engine has two workers of one thread each.

Dispatch: 20,000 partitions of one row each through a leg that does nothing but commit.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from curate.core import columns
from curate.core.config import MapConfig, SourceConfig
from curate.core.fakes import FakeSourceConfig, fake_plan
from curate.core.plan import LegPlan, Plan, StagePlan, compile_plan
from curate.core.resources import Resources
from curate.core.stage import Mapped, MapStage, any_stage_ready
from curate.core.store import Receipt, RunStore
from curate.engine.base import Assignment, Engine, EngineConfig, PassWork
from curate.engine.local import LocalEngine
from curate.engine.ray_actors import RayEngine
from curate.engine.worker import LegWorker
from curate.passes import PassRunner, Watcher
from curate.sources import image_folder
from curate.stages.captioners import med as captioner
from curate.stages.download import load
from curate.stages.scorers import med as scorer

PICTURES = Path(__file__).resolve().parents[1] / "curate" / "assets" / "quickstart" / "pictures"


class Clock(Watcher):
    """Notes when each leg commits."""

    def __init__(self) -> None:
        self.commits: list[float] = []

    def committed(self, leg: LegPlan, receipt: Receipt) -> None:
        """Note the time."""
        if leg.node.stages[-1] == "filter":
            self.commits.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """From the first finished partition to the last: start-up left out."""
        return self.commits[-1] - self.commits[0]


def model_plan(model: Path, folder: Path, partition_rows: int, num_cpus: float) -> Plan:
    """Folder, load, captioner and scorer."""
    source = image_folder.Config(path=str(folder), texts=None, partition_rows=partition_rows)
    stages = [
        ("download", "load", load.Config(root=str(folder), resize=288)),
        ("captioners", "med", captioner.Config(model=str(model), num_cpus=num_cpus, max_tokens=12)),
        (
            "scorers",
            "med",
            scorer.Config.model_validate(
                {"model": str(model), "as": "filter", "num_cpus": num_cpus}
            ),
        ),
    ]
    plans = [
        StagePlan(family, kind, config.label or kind, config, f"stages[{i}]")
        for i, (family, kind, config) in enumerate(stages)
    ]
    first = StagePlan("sources", "image_folder", "image_folder", source, "source")
    return compile_plan(first, source.build().schema(), plans)


def bare_loop(plan: Plan) -> float:
    """Call the stages in a loop; returns seconds from the first finished partition to the last."""
    source = plan.source.build()
    stages = [stage.config.build() for leg in plan.legs for stage in leg.stages]
    done = []
    with tempfile.TemporaryDirectory() as spool, any_stage_ready(stages):
        register = RunStore(Path(spool)).register()
        for partition in register.listed(source, Path(spool), plan.source.partition_rows):
            rows = source.read(partition.file, partition.start, partition.stop).rows
            keys = pa.array(range(rows.num_rows), pa.int32())
            rows = rows.add_column(0, columns.PARTITION, pa.array([0] * rows.num_rows, pa.int32()))
            rows = rows.add_column(1, columns.ROW, keys)
            for stage in stages:
                rows = stage(rows).rows
            done.append(time.perf_counter())
    return done[-1] - done[0]


def by_engine(plan: Plan, engine: Engine) -> float:
    """Run the plan into a fresh folder; returns seconds as ``bare_loop``."""
    root = Path(tempfile.mkdtemp(prefix="curate-benchmark-"))
    clock = Clock()
    try:
        PassRunner(plan, RunStore(root), lambda: engine, clock).run()
    finally:
        shutil.rmtree(root)
    return clock.seconds


def overhead(model: Path, *, copies: int, partition_rows: int, rounds: int) -> None:
    """Print the first table."""
    with tempfile.TemporaryDirectory() as folder:
        for copy in range(copies):
            shutil.copytree(PICTURES, Path(folder) / f"{copy:02d}")
        two = model_plan(model, Path(folder), partition_rows, 2.0)
        one = model_plan(model, Path(folder), partition_rows, 1.0)
        ray_engine = RayEngine(EngineConfig(kind="ray"))
        ways: dict[str, Callable[[], float]] = {
            "bare loop": lambda: bare_loop(two),
            "local": lambda: by_engine(two, LocalEngine()),
            "ray": lambda: by_engine(one, ray_engine),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                taken[name].append(way())
        ray_engine.close()
    base = statistics.median(taken["bare loop"])
    print(f"\noverhead, {256 * copies} pictures, partitions of {partition_rows}, {rounds} rounds")
    print("| way | ratio of medians | range |\n| --- | --- | --- |")
    for name, seconds in taken.items():
        low, high = min(seconds) / base, max(seconds) / base
        print(f"| {name} | {statistics.median(seconds) / base:.3f} | {low:.3f} to {high:.3f} |")


class NothingConfig(MapConfig):
    """A stage that does nothing, in a leg of its own."""

    @property
    def resources(self) -> Resources:
        """One core."""
        return Resources(num_cpus=1.0)

    def build(self) -> Nothing:
        """Build the stage."""
        return Nothing()


class Nothing(MapStage):
    """See ``NothingConfig``."""

    def __call__(self, rows: pa.Table) -> Mapped:
        """Give the rows back."""
        return Mapped(rows)


def partitions_of(source: SourceConfig, root: Path) -> Iterator[Assignment]:
    """Every partition, from the first leg on."""
    register = RunStore(root).register()
    for partition in register.listed(source.build(), root / "source", source.partition_rows):
        yield Assignment(partition)


def _noting(times: list[float]) -> Callable[[int, Receipt], None]:
    return lambda leg, receipt: times.append(time.perf_counter())


def dispatch(count: int) -> None:
    """Print the second table."""
    plan = fake_plan(FakeSourceConfig(files=(count,), partition_rows=1), NothingConfig())
    print(f"\ndispatch, {count:,} partitions of one row through one leg, commit included")
    print("| way | ms a partition | over the bare loop, ms |\n| --- | --- | --- |")
    base = None
    ray_engine = RayEngine(EngineConfig(kind="ray", flight=8, workers={"nothing": 1}))
    for name, engine in (("bare loop", None), ("local", LocalEngine()), ("ray", ray_engine)):
        root = Path(tempfile.mkdtemp(prefix="curate-benchmark-"))
        work = PassWork(root, plan, 0)
        begun: list[float] = []
        partitions = partitions_of(plan.source, root)
        if engine is None:
            worker = LegWorker(work, 0)
            worker.setup()
            begun.append(time.perf_counter())
            for assignment in partitions:
                worker.run(assignment, None)
        else:
            engine.run_pass(work, partitions, _noting(begun), lambda _: None)
        each = (time.perf_counter() - begun[0]) / count * 1000
        shutil.rmtree(root)
        base = each if base is None else base
        print(f"| {name} | {each:.2f} | {each - base:+.2f} |", flush=True)
    ray_engine.close()


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="a smoke test, no measurement")
    parser.add_argument("--model", default="curate-tiny", help="a MED checkpoint")
    chosen = parser.parse_args()
    quick, model = chosen.quick, chosen.model
    logging.disable(logging.WARNING)
    overhead(
        Path(model),
        copies=1 if quick else 2,
        partition_rows=64,
        rounds=1 if quick else 3,
    )
    dispatch(200 if quick else 20_000)


if __name__ == "__main__":
    main()
