"""What a probe has measured: plain numbers, kept as JSON, from which any prediction is made."""

from __future__ import annotations

from curate.core.config import FrozenConfig


class StageMeasured(FrozenConfig):
    """A stage, chunk by chunk.

    Attributes:
        name: the stage's.
        seconds: that it took.
        full_flight_s: of these, what would be left with all its requests in flight all the time;
            zeros where it asks nobody.
        cpu_s: seconds of processors that it took meanwhile; zeros likewise.
        rows_in: rows that it was given.
        rows_out: of these, rows that went on.
    """

    name: str
    seconds: list[float]
    full_flight_s: list[float]
    cpu_s: list[float]
    rows_in: list[int]
    rows_out: list[int]


class LegMeasured(FrozenConfig):
    """A leg.

    Attributes:
        name: its stages.
        index: of its pass, and of the leg in it.
        start_s: until a worker was ready, and what its first partition took longer than others.
        stages: in order, the source first where it rides in the leg.
        beside_s: what a chunk took beside its stages: reading, checking, committing.
        num_bytes: committed, by chunk.
        num_cpus: one worker's.
        num_gpus: one worker's share, where there is a GPU.
        gpu_optional: whether it works without one.
    """

    name: str
    index: tuple[int, int]
    start_s: float
    stages: list[StageMeasured]
    beside_s: list[float]
    num_bytes: list[int]
    num_cpus: float
    num_gpus: float
    gpu_optional: bool


class StepMeasured(FrozenConfig):
    """A step over the whole table, done twice: with some of the rows, then with all of them.

    Attributes:
        name: a barrier, ``select``, a sink or an exporter.
        after_pass: the pass that a barrier ends; None for what follows the passes.
        rows: rows of the list behind the table.
        seconds: that it took.
        num_bytes: that it takes on the disk.
        rows_in: rows that reached it in all; 0 where it drops none.
        rows_out: of these, rows that went on.
    """

    name: str
    after_pass: int | None
    rows: tuple[int, int]
    seconds: tuple[float, float]
    num_bytes: tuple[int, int]
    rows_in: int = 0
    rows_out: int = 0


class Measured(FrozenConfig):
    """A probe's result.

    Attributes:
        when: ISO 8601, UTC.
        device: what the models ran on.
        gpus: how many of them there were; 0 on a CPU.
        rows: rows of the whole source.
        partitions: that it makes.
        partition_rows: rows of a full one.
        list_s: seconds to list the source.
        read_s: seconds to read a partition of the source, by itself.
        sizes: rows of the list by chunk, the warming one left out.
        legs: in order.
        steps: barriers and what follows the passes.
        rows_kept: rows in the table, by chunk.
        texts: texts in the table, by chunk.
        selected: of these, selected; None without a selector.
        left_out: what the recipe does beside, and no probe measures.
    """

    when: str
    device: str
    gpus: int
    rows: int
    partitions: int
    partition_rows: int
    list_s: float
    read_s: float
    sizes: list[int]
    legs: list[LegMeasured]
    steps: list[StepMeasured]
    rows_kept: list[int]
    texts: list[int]
    selected: list[int] | None
    left_out: list[str]
