"""A prediction as plain numbers: what a run will take, by stage and in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from curate.engine.pools import Cluster


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour costs, in any currency.

    Attributes:
        gpu_hour: of one GPU.
        cpu_hour: of one core.
    """

    gpu_hour: float = 0.0
    cpu_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StagePrediction:
    """What a stage, or what a leg does beside its stages, will take.

    Attributes:
        name: the stage's; ``commit`` for reading, checking and committing.
        leg: its leg.
        workers: of the leg.
        rows_in: rows that will reach it.
        survival: share of them that go on.
        start_s: worker-seconds until the leg's workers are ready; with its heaviest stage.
        busy_s: worker-seconds of work.
        gpu_hours: of the workers while they start and work.
        cpu_hours: likewise.
        num_bytes: on the disk.
        cost: of these hours.
    """

    name: str
    leg: str
    workers: int
    rows_in: float
    survival: Figure
    start_s: float
    busy_s: Figure
    gpu_hours: float
    cpu_hours: float
    num_bytes: float
    cost: float


@dataclass(frozen=True, slots=True)
class StepPrediction:
    """What a barrier, the selection, a sink or an export will take; ``survival`` of a barrier."""

    name: str
    seconds: float
    num_bytes: float
    survival: float | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a run will take.

    Attributes:
        engine: that it is predicted for.
        cluster: its size.
        seconds: from beginning to end.
        stages: by leg, in order.
        steps: barriers, and what follows the passes.
        rows_kept: rows of the finished table.
        texts: its texts.
        selected: of these, selected; None without a selector.
        num_bytes: on the disk, all together.
        bytes_a_pair: of these, for each selected text; for each text without a selector.
        gpu_hours: that the cluster is held for, GPUs times time.
        cpu_hours: likewise.
        cost: of these hours.
        cautions: what the figures do not cover.
    """

    engine: str
    cluster: Cluster
    seconds: Figure
    stages: list[StagePrediction]
    steps: list[StepPrediction]
    rows_kept: Figure
    texts: Figure
    selected: Figure | None
    num_bytes: Figure
    bytes_a_pair: float
    gpu_hours: float
    cpu_hours: float
    cost: float
    cautions: list[str] = field(default_factory=list)

    def to_json(self) -> Mapping[str, Any]:
        """Return plain values."""
        return asdict(self)
