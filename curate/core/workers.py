"""Who trains: one process, or several workers."""

from __future__ import annotations

from pydantic import Field, model_validator

from curate.core.config import FrozenConfig


class WorkersConfig(FrozenConfig):
    """Who trains: one process, or several workers of a Ray cluster, each with its share of a batch.

    The number of workers changes neither the batch nor what it teaches.

    Attributes:
        count: workers; 1 trains in this process, without Ray.
        num_cpus: CPUs of each.
        num_gpus: GPUs of each, where the cluster has any and ``device`` is not ``cpu``.
        shard: share layers out among the workers (FSDP): each then holds a part of their weights,
            gradients and optimizer state, for models that no single device holds.
        max_failures: how often lost workers are replaced; all then go on from the last state.
        address: of the cluster, ``host:port``; None takes that of the run's engine, or
            ``RAY_ADDRESS``, or the cluster of this machine, or starts one.
    """

    count: int = Field(1, ge=1, le=65_536)
    num_cpus: int = Field(1, ge=1, le=1024)
    num_gpus: int = Field(1, ge=1, le=64)
    shard: bool = False
    max_failures: int = Field(3, ge=0, le=1000)
    address: str | None = None

    @model_validator(mode="after")
    def _shards_are_shared(self) -> WorkersConfig:
        if self.shard and self.count == 1:
            raise ValueError("'shard' shares layers out among workers: give a 'count' above 1")
        return self
