"""From what a sample took to what the run will take: time, devices, disk and money, by stage.

A chunk's figure is a part for the partition and a part for each row (``fit.line``); the source's
partitions and rows are put in. What a run pays once (loading a model) is counted once for each
worker. The interval comes from drawing the chunks' departures from their lines again, with
replacement, all figures of a chunk together (Efron and Tibshirani 1993, section 9.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from curate.core.config import StageConfig
from curate.core.plan import Plan
from curate.engine.base import EngineConfig
from curate.engine.pools import Claim, Cluster, claims
from curate.probe.fit import line, redrawn, student, wilson
from curate.probe.measured import LegMeasured, Measured, StageMeasured, StepMeasured
from curate.probe.prediction import (
    Figure,
    Prediction,
    Prices,
    StagePrediction,
    StepPrediction,
)
from curate.stages.batch_size import LARGEST
from curate.stages.modelling import ModelConfig

_DRAWS = 300
#: Whose departure from the line each chunk takes on; None: its own.
_Draw = np.ndarray | None


def predict(
    measured: Measured, plan: Plan, engine: EngineConfig, cluster: Cluster, prices: Prices
) -> Prediction:
    """Scale what was measured up to the whole source.

    Args:
        measured: by a probe of the recipe.
        plan: the recipe's.
        engine: its engine; ``local`` has one worker a leg and takes turns.
        cluster: the machine, or Ray's cluster.
        prices: of its devices.

    Raises:
        EngineError: the cluster has not the devices that the legs want.
    """
    return _Predictor(measured, plan, engine, cluster).predict(prices)


class _Predictor:
    def __init__(
        self, measured: Measured, plan: Plan, engine: EngineConfig, cluster: Cluster
    ) -> None:
        self._m = measured
        self._engine = engine
        self._cluster = cluster
        self._sizes = np.array(measured.sizes)
        self._claims = self._share(plan)
        self._models = [stage for leg in plan.legs for stage in leg.stages]

    def _share(self, plan: Plan) -> dict[tuple[int, int], Claim]:
        found = {}
        for one in plan.passes:
            wanted = dict(self._engine.workers)
            given = claims(one.legs, self._cluster, wanted)
            for number, claim in enumerate(given):
                local = Claim(1, one.legs[number].resources.num_cpus, claim.num_gpus, 0)
                chosen = claim if self._engine.kind == "ray" else local
                found[one.index, number] = chosen
        return found

    def predict(self, prices: Prices) -> Prediction:
        m = self._m
        stages = [
            stage for leg in m.legs for stage in self._stages(leg, self._claims[leg.index], prices)
        ]
        seconds = self._figure(self._seconds)
        size = self._figure(self._bytes)
        hours = seconds.value / 3600
        kept, texts = self._counted(m.rows_kept), self._counted(m.texts)
        selected = None if m.selected is None else self._counted(m.selected)
        pairs = texts if selected is None else selected
        gpus, cpus = hours * self._cluster.gpus, hours * self._cluster.cpus
        return Prediction(
            engine=self._engine.kind,
            cluster=self._cluster,
            seconds=seconds,
            stages=stages,
            steps=[self._step(step) for step in m.steps],
            rows_kept=kept,
            texts=texts,
            selected=selected,
            num_bytes=size,
            bytes_a_pair=size.value / pairs.value if pairs.value else 0.0,
            gpu_hours=gpus,
            cpu_hours=cpus,
            cost=gpus * prices.gpu_hour + cpus * prices.cpu_hour,
            cautions=self._cautions(),
        )

    # -- scaling ---------------------------------------------------------------------------------

    def _over(self, values: Sequence[float] | np.ndarray, which: _Draw) -> float:
        """Return what the whole source comes to."""
        own = redrawn(values, self._sizes, which)
        return line(own, self._sizes).over(self._m.partitions, self._m.rows)

    def _busy(self, stage: StageMeasured, which: _Draw) -> float:
        """Return a stage's worker-seconds."""
        if not any(stage.full_flight_s):
            return self._over(stage.seconds, which)
        # requests: with all places taken a row costs its share of them, or the processor's time
        # where that is more; the wait for the last ones is each partition's, however large it is
        cores = max(1.0, *(np.asarray(stage.cpu_s) / np.maximum(stage.seconds, 1e-9)))
        whole = max(
            self._by_row(stage.full_flight_s, which), self._by_row(stage.cpu_s, which) / cores
        )
        waits = np.maximum(stage.seconds - self._sizes * whole / self._m.rows, 0.0)
        own = waits if which is None else waits[which]
        return float(whole + (own * self._sizes).sum() / self._sizes.sum() * self._m.partitions)

    def _by_row(self, values: Sequence[float] | np.ndarray, which: _Draw) -> float:
        """Return what the whole source comes to where rows alone decide it."""
        own = redrawn(values, self._sizes, which)
        return float(own.sum() / self._sizes.sum() * self._m.rows)

    def _stage_busy(self, stage: StageMeasured, reading: float, which: _Draw) -> float:
        return self._busy(stage, which) + reading

    def _leg_busy(self, leg: LegMeasured, which: _Draw) -> float:
        stages = sum(self._busy(stage, which) for stage in leg.stages)
        return stages + self._over(leg.beside_s, which) + self._reading(leg)

    def _reading(self, leg: LegMeasured) -> float:
        """Return seconds to read the source; the sample's rows were read before."""
        return self._m.read_s * self._m.rows / self._m.partition_rows if leg.index == (0, 0) else 0

    def _seconds(self, which: _Draw) -> float:
        """Return the run's time."""
        total = self._m.list_s + sum(self._grown(step.rows, step.seconds) for step in self._m.steps)
        for index in sorted({leg.index[0] for leg in self._m.legs}):
            legs = [leg for leg in self._m.legs if leg.index[0] == index]
            busy = [self._leg_busy(leg, which) for leg in legs]
            starts = [leg.start_s for leg in legs]
            if self._engine.kind == "local":
                total += sum(starts) + sum(busy)
                continue
            # legs work at once: the slowest sets the pace, the others fill and empty the line
            workers = [min(self._claims[leg.index].workers, self._m.partitions) for leg in legs]
            paces = [seconds / count for seconds, count in zip(busy, workers, strict=True)]
            one = sum(busy) / self._m.partitions - max(busy) / self._m.partitions
            total += max(starts) + max(*paces, self._crowded(legs, busy)) + one
        return total

    def _crowded(self, legs: Sequence[LegMeasured], busy: Sequence[float]) -> float:
        """Return the time below which a pass cannot come: its legs' cores over the cluster's."""
        cores = sum(leg.num_cpus * seconds for leg, seconds in zip(legs, busy, strict=True))
        return cores / self._cluster.cpus if self._cluster.cpus else 0.0

    def _bytes(self, which: _Draw) -> float:
        legs = sum(self._over(leg.num_bytes, which) for leg in self._m.legs)
        return legs + sum(self._grown(step.rows, step.num_bytes) for step in self._m.steps)

    def _grown(self, rows: tuple[int, int], values: tuple[float, float]) -> float:
        """Draw a line through two points, for work that has a beginning and goes by the row."""
        slope = max(0.0, (values[1] - values[0]) / (rows[1] - rows[0]))
        return max(0.0, values[1] - slope * rows[1]) + slope * self._m.rows

    def _figure(self, of: Callable[[_Draw], float]) -> Figure:
        """Return a figure, with the interval that drawing departures from its lines gives."""
        count, value = len(self._sizes), of(None)
        random = np.random.default_rng(0)
        drawn = [of(random.integers(0, count, count)) for _ in range(_DRAWS)]
        # departures from a fitted line are too small by its two parts, and few of them say little
        free = max(1, count - 2)
        half = float(np.std(drawn)) * (count / free) ** 0.5 * student(free)
        return Figure(value, max(0.0, value - half), value + half)

    def _counted(self, values: Sequence[int]) -> Figure:
        return self._figure(partial(self._by_row, values))

    # -- by stage --------------------------------------------------------------------------------

    def _stages(self, leg: LegMeasured, claim: Claim, prices: Prices) -> list[StagePrediction]:
        whole = self._over(leg.num_bytes, None)
        found = []
        heaviest = max(leg.stages, key=lambda stage: sum(stage.seconds))
        for place, stage in enumerate(leg.stages):
            start = leg.start_s * claim.workers if stage is heaviest else 0.0
            reading = self._reading(leg) if not place else 0.0
            busy = self._figure(partial(self._stage_busy, stage, reading))
            low, high = wilson(sum(stage.rows_out), sum(stage.rows_in))
            given = sum(stage.rows_in)
            share = sum(stage.rows_out) / given if given else 0.0
            found.append(
                self._stage(
                    leg,
                    claim,
                    prices,
                    name=stage.name,
                    rows_in=given / self._sizes.sum() * self._m.rows,
                    survival=Figure(share, low, high),
                    start_s=start,
                    busy=busy,
                    num_bytes=0.0,
                )
            )
        last = found[-1]
        beside = self._figure(lambda which: self._over(leg.beside_s, which))
        found.append(
            self._stage(
                leg,
                claim,
                prices,
                name="commit",
                rows_in=last.rows_in * last.survival.value,
                survival=Figure(1.0, 1.0, 1.0),
                start_s=0.0,
                busy=beside,
                num_bytes=whole,
            )
        )
        return found

    @staticmethod
    def _stage(
        leg: LegMeasured,
        claim: Claim,
        prices: Prices,
        *,
        name: str,
        rows_in: float,
        survival: Figure,
        start_s: float,
        busy: Figure,
        num_bytes: float,
    ) -> StagePrediction:
        hours = (start_s + busy.value) / 3600
        gpu, cpu = hours * claim.num_gpus, hours * leg.num_cpus
        return StagePrediction(
            name=name,
            leg=leg.name,
            workers=claim.workers,
            rows_in=rows_in,
            survival=survival,
            start_s=start_s,
            busy_s=busy,
            gpu_hours=gpu,
            cpu_hours=cpu,
            num_bytes=num_bytes,
            cost=gpu * prices.gpu_hour + cpu * prices.cpu_hour,
        )

    def _step(self, step: StepMeasured) -> StepPrediction:
        survival = step.rows_out / step.rows_in if step.rows_in else None
        return StepPrediction(
            step.name,
            self._grown(step.rows, step.seconds),
            self._grown(step.rows, step.num_bytes),
            survival,
        )

    def _cautions(self) -> list[str]:
        m, found = self._m, []
        sampled = max(step.rows[1] for step in m.steps) < m.rows if m.steps else True
        barriers = [step.name for step in m.steps if step.after_pass is not None]
        if barriers and sampled:
            found.append(
                f"{', '.join(barriers)}: a sample holds few of a list's repeats, so that more rows "
                "will stop there than it says, and what comes after takes less"
            )
        gpu = self._cluster.gpus > 0 and any(leg.num_gpus for leg in m.legs)
        if gpu and m.device == "CPU":
            found.append(
                "measured on a CPU, and the cluster has GPUs: models will be faster there; probe "
                "on a machine with such a GPU"
            )
        largest = max(m.sizes)
        idle = [stage.name for stage in self._models if _batch(stage.config) > largest]
        if idle and m.gpus:  # on a CPU a picture takes as long alone
            found.append(
                f"{', '.join(idle)}: the sample's largest chunk of {largest} rows fills no batch, "
                "so that its rows took longer than a run's: probe with more"
            )
        if m.left_out:
            found.append(f"not in these figures: {', '.join(m.left_out)}")
        if self._engine.kind == "ray":
            found.append("starting Ray itself takes some seconds more")
        return found


def _batch(config: StageConfig) -> int:
    """Return the pictures that a stage takes at once on a GPU; 0 where it runs no model."""
    if not isinstance(config, ModelConfig):
        return 0
    return LARGEST if config.batch_size == "auto" else config.batch_size
