"""Layers whose weights, gradients and optimizer state are shared out among the workers (FSDP).

A layer is put together when it is needed and taken apart again; between, each worker holds its
part. What lies outside of layers (embeddings, heads, norms, the temperature) and what is frozen
stays whole. Source: Rajbhandari et al. 2020, "ZeRO" (https://arxiv.org/abs/1910.02054); Zhao et
al. 2023, "PyTorch FSDP" (https://arxiv.org/abs/2304.11277).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from curate.pretrain.world import World


def shard(model: Any, optimizer: torch.optim.Optimizer, teacher: Any, world: World) -> int:
    """Share the layers of a model out; returns how many units are put together at a time.

    Args:
        model: whole, the same with every worker; its parameters are replaced.
        optimizer: of the model, before its first step; takes the new parameters.
        teacher: a copy of the model, shared out alike; or None.
        world: all workers.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    before = {id(p): name for name, p in model.named_parameters()}
    mesh = init_device_mesh(model.device.type, (world.size,))
    names = list(_units(model))
    for name, owner in itertools.product(names, [model, teacher] if teacher else [model]):
        unit = fully_shard(owner.get_submodule(name), mesh=mesh, reshard_after_forward=True)
        # a worker's loss is its share of the batch's: gradients are sums, not means
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)
    after = dict(model.named_parameters())
    for group in optimizer.param_groups:
        group["params"] = [after[before[id(p)]] for p in group["params"]]
    return len(names)


def _units(model: nn.Module) -> Iterator[str]:
    """Yield the names of what is shared out: layers that learn.

    A layer that is entered by its parts is shared out by its linear maps, which are called alone.
    """
    by_parts = getattr(model, "entered_by_parts", ())
    for name, module in model.named_modules():
        for number, block in enumerate(module if isinstance(module, nn.ModuleList) else ()):
            if not all(p.requires_grad for p in block.parameters()):
                continue
            if type(block).forward is not nn.Module.forward and name not in by_parts:
                yield f"{name}.{number}"
                continue
            for part, inner in block.named_modules():
                if isinstance(inner, nn.Linear):
                    yield f"{name}.{number}.{part}"


def is_shared(x: Tensor) -> bool:
    """Whether each worker holds a part of a tensor."""
    return isinstance(x, DTensor)


def local(x: Tensor) -> Tensor:
    """Return this worker's part of a tensor; all of it where it is whole."""
    if not isinstance(x, DTensor):
        return x
    part: Tensor = x.to_local()
    return part


def whole(state: Any, *, keep: bool = True) -> Any:
    """Return a state with its tensors put together; every worker calls it.

    Args:
        state: dicts and lists of tensors and other things.
        keep: whether this worker wants the result: None else, which costs no memory.
    """
    if isinstance(state, dict):
        found = {key: whole(value, keep=keep) for key, value in state.items()}
        return found if keep else None
    if isinstance(state, list):
        parts = [whole(value, keep=keep) for value in state]
        return parts if keep else None
    if isinstance(state, DTensor):
        state = state.full_tensor()
    return state if keep else None


def like(x: Tensor, found: Tensor) -> Tensor:
    """Return a whole tensor in the form of another: shared out where that is."""
    if not isinstance(x, DTensor):
        return found
    there = found.to(x.device)
    return distribute_tensor(there, x.device_mesh, x.placements, src_data_rank=None)


def load_model(model: Any, state: dict[str, Tensor]) -> None:
    """Take whole weights over."""
    model.load_state_dict({name: like(x, state[name]) for name, x in model.state_dict().items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take whole moments over."""
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = like(parameter, value)


def clip_gradients(parameters: Iterable[nn.Parameter], longest: float, world: World) -> Tensor:
    """Shorten the gradient of all parameters to a norm, as torch does; returns its norm.

    Args:
        parameters: some of them shared out.
        longest: the norm.
        world: all workers.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    shared = [local(g) for g in gradients if isinstance(g, DTensor)]
    kept = [g for g in gradients if not isinstance(g, DTensor)]
    squares = [
        torch.stack([part.float().square().sum() for part in parts] or [torch.zeros(())]).sum()
        for parts in (shared, kept)
    ]
    norm = (world.sum(squares[0]) + squares[1]).sqrt()
    factor = (longest / (norm + 1e-6)).clamp(max=1.0)
    for part in [*shared, *kept]:
        part.mul_(factor)
    return norm


def put_together(model: Any, *, keep: bool) -> Any:
    """Return the model with whole weights; every worker calls it.

    Args:
        model: returned as it is where nothing is shared out.
        keep: whether this worker wants the result: None else.
    """
    if not any(isinstance(p, DTensor) for p in model.parameters()):
        return model if keep else None
    state = whole(model.state_dict(), keep=keep)
    if not keep:
        return None
    plain = type(model)(model.config)
    plain.load_state_dict(state)
    return plain.to(model.device).eval()
