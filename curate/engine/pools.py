"""How many workers each leg of a pass gets from a cluster of a size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from curate.core.errors import EngineError
from curate.core.plan import LegPlan
from curate.core.resources import Resources
from curate.engine.gpu_shares import gpus_hold

#: What a worker without needs of its own claims, so that the scheduler spreads it.
_LIGHT_CPUS = 0.01


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster has.

    Attributes:
        cpus: CPUs in all.
        gpus: GPUs in all.
    """

    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Claim:
    """One leg's pool.

    Attributes:
        workers: how many.
        num_cpus: claimed by each.
        num_gpus: claimed by each.
        memory_bytes: claimed by each; 0 for no claim.
    """

    workers: int
    num_cpus: float
    num_gpus: float
    memory_bytes: int


def claims(legs: Sequence[LegPlan], cluster: Cluster, wanted: Mapping[str, int]) -> list[Claim]:
    """Share a cluster among the legs of a pass.

    Every leg gets at least one worker. GPUs are shared as the legs declare; what the cluster has
    left goes round evenly. On a machine with fewer cores than legs, CPU claims are scaled down:
    they only guide scheduling. A cluster without CPUs, a bare head say, waits for nodes: claims
    stay as declared.

    Args:
        legs: of one pass; all their workers live at once.
        cluster: what there is.
        wanted: workers by the name of a stage, from the recipe.

    Raises:
        EngineError: the GPUs declared are more than the cluster has, or shares of them do not go
            into its GPUs.
    """
    needs = [_need(leg.resources, cluster) for leg in legs]
    counts = [_asked(leg, wanted) for leg in legs]
    _check_gpus(legs, needs, counts, cluster)
    counts_now = [count or 1 for count in counts]
    free = [i for i, count in enumerate(counts) if count is None and not legs[i].resources.light]
    while free:
        grown = [i for i in free if _fits(needs, _plus_one(counts_now, i), cluster)]
        if not grown:
            break
        smallest = min(grown, key=lambda i: counts_now[i])
        counts_now[smallest] += 1
    total = sum(n.num_cpus * c for n, c in zip(needs, counts_now, strict=True))
    scale = min(1.0, cluster.cpus * 0.99 / total) if total and cluster.cpus > 0 else 1.0
    return [
        Claim(
            workers=count,
            num_cpus=_scaled(need.num_cpus, scale),
            num_gpus=need.num_gpus,
            memory_bytes=int(need.memory_gib * 2**30),
        )
        for need, count in zip(needs, counts_now, strict=True)
    ]


def _scaled(num_cpus: float, scale: float) -> float:
    """Scale a claim, downwards to the ten-thousandth that Ray counts in.

    Rounded up, many small claims come to more than there is, and the last worker waits for ever.
    """
    return max(math.floor(num_cpus * scale * 10_000) / 10_000, 0.0001) if num_cpus else 0.0


def _need(resources: Resources, cluster: Cluster) -> Resources:
    if resources.light:
        return Resources(num_cpus=_LIGHT_CPUS)
    if resources.gpu_optional and cluster.gpus == 0:
        return replace(resources, num_gpus=0.0)
    return resources


def _asked(leg: LegPlan, wanted: Mapping[str, int]) -> int | None:
    return next((wanted[stage.name] for stage in leg.stages if stage.name in wanted), None)


def _plus_one(counts: Sequence[int], index: int) -> list[int]:
    return [count + (i == index) for i, count in enumerate(counts)]


def _fits(needs: Sequence[Resources], counts: Sequence[int], cluster: Cluster) -> bool:
    cpus = sum(need.num_cpus * count for need, count in zip(needs, counts, strict=True))
    shares = [(need.num_gpus, count) for need, count in zip(needs, counts, strict=True)]
    return cpus <= cluster.cpus and gpus_hold(cluster.gpus, shares)


def _check_gpus(
    legs: Sequence[LegPlan],
    needs: Sequence[Resources],
    counts: Sequence[int | None],
    cluster: Cluster,
) -> None:
    shares = [(need.num_gpus, n or 1) for need, n in zip(needs, counts, strict=True)]
    if gpus_hold(cluster.gpus, shares):
        return
    total = sum(share * n for share, n in shares)
    list_ = ", ".join(
        f"{leg.name} {need.num_gpus * (n or 1):g}"
        for leg, need, n in zip(legs, needs, counts, strict=True)
        if need.num_gpus
    )
    mend = "give the stages smaller shares (num_gpus: 0.5), take fewer workers, or add nodes"
    if total <= cluster.gpus:
        mend = f"a share lies on one GPU, and these do not go into {cluster.gpus:g}: {mend}"
    raise EngineError(
        f"the legs of one pass want {total:g} GPUs together ({list_}) and the cluster has "
        f"{cluster.gpus:g}: {mend}"
    )
