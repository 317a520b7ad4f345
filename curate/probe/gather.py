"""What the timed engine noted, as figures by leg and stage."""

from __future__ import annotations

from collections.abc import Sequence

from curate.core.plan import Plan
from curate.engine.timed import Call, TimedEngine
from curate.probe.fit import line
from curate.probe.measured import LegMeasured, StageMeasured


def legs_measured(plan: Plan, engine: TimedEngine, sizes: Sequence[int]) -> list[LegMeasured]:
    """Return a plan's legs, in order.

    Args:
        plan: that was worked through.
        engine: that has done it.
        sizes: rows by chunk; the first one has warmed the workers up.
    """
    return [
        _leg(plan, engine, sizes, (one.index, leg))
        for one in plan.passes
        for leg in range(len(one.legs))
    ]


def _leg(
    plan: Plan, engine: TimedEngine, sizes: Sequence[int], index: tuple[int, int]
) -> LegMeasured:
    leg = plan.passes[index[0]].legs[index[1]]
    calls = sorted(engine.calls[index], key=lambda call: call.number)
    warm, rest = calls[0], calls[1:]
    stages = [_stage(name, rest, leg.node.stages) for name in leg.node.stages]
    taken = [call.seconds for call in rest]
    usual = line(taken, sizes[1:])
    late = max(0.0, warm.seconds - usual.at(sizes[0])) if rest else warm.seconds
    return LegMeasured(
        name=leg.name,
        index=index,
        start_s=engine.starts[index] + late,
        stages=stages,
        beside_s=[max(0.0, call.seconds - sum(call.receipt.seconds.values())) for call in rest],
        num_bytes=[call.receipt.bytes_written for call in rest],
        num_cpus=leg.resources.num_cpus,
        num_gpus=leg.resources.num_gpus,
        gpu_optional=leg.resources.gpu_optional,
    )


def _stage(name: str, calls: Sequence[Call], order: Sequence[str]) -> StageMeasured:
    """Gather what a stage did; rows reach it that none before it in the leg has dropped."""
    before = order[: order.index(name)]
    rows_in = [
        call.receipt.rows_in
        - sum(sum(call.receipt.dropped.get(stage, {}).values()) for stage in before)
        for call in calls
    ]
    return StageMeasured(
        name=name,
        seconds=[call.receipt.seconds.get(name, 0.0) for call in calls],
        full_flight_s=[call.receipt.notes.get(f"{name}.full_flight_s", 0.0) for call in calls],
        cpu_s=[call.receipt.notes.get(f"{name}.cpu_s", 0.0) for call in calls],
        rows_in=rows_in,
        rows_out=[
            count - sum(call.receipt.dropped.get(name, {}).values())
            for count, call in zip(rows_in, calls, strict=True)
        ],
    )
