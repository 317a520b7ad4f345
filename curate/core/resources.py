"""What a stage needs to run, declared in its config and checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker of a stage occupies.

    A stage that declares nothing is light: it rides in the leg of its neighbours.

    Attributes:
        num_cpus: cores one worker keeps busy.
        num_gpus: share of one GPU, in (0, 1], or a whole number of GPUs; 0 for none.
        gpu_optional: take ``num_gpus`` where the cluster has GPUs and run on the CPU elsewhere
            (``device: auto``); without it a cluster with no GPU is an error.
        memory_gib: main memory one worker may use, GiB.
        network: the stage waits on the network, so many workers may share few cores.
        key: stages with unequal keys never share a worker (two models, say).
    """

    num_cpus: float = 0.0
    num_gpus: float = 0.0
    gpu_optional: bool = False
    memory_gib: float = 0.0
    network: bool = False
    key: str = ""

    @property
    def light(self) -> bool:
        """Whether the stage needs no worker of its own."""
        return self == Resources()
