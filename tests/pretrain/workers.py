"""Several workers of one training on this machine: processes joined by gloo."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from curate.pretrain.world import World


def together(size: int, job: Callable[..., None], *arguments: Any) -> None:
    """Call ``job(world, *arguments)`` in so many processes; all of them must end well."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        workers = [
            context.Process(target=_work, args=(rank, size, meeting, job, *arguments))
            for rank in range(size)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert [worker.exitcode for worker in workers] == [0] * size


def _work(rank: int, size: int, meeting: str, job: Callable[..., None], *arguments: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    try:
        job(World.joined(), *arguments)
    finally:
        dist.destroy_process_group()


def losses(folder: Path) -> list[dict[str, float]]:
    """Return a training's losses and gradient norms, a row for each step."""
    import json

    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timed = ("images_per_s", "data_wait", "data_waits")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]
