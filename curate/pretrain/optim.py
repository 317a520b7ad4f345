"""AdamW in groups, and the learning rate's course."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from curate.pretrain.config import OptimConfig

if TYPE_CHECKING:
    import torch
    from torch import nn


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Build AdamW: the image tower by its own rate, no decay on norms, biases and scalars.

    A tower with ``image_lr_scale: 0`` is frozen here.
    """
    import torch

    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        tower = name.startswith("image_tower.")
        if tower and config.image_lr_scale == 0:
            parameter.requires_grad_(False)
            continue
        groups.setdefault((tower, parameter.ndim >= 2), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "scale": config.image_lr_scale if tower else 1.0,
        }
        for (tower, decays), parameters in sorted(groups.items())
    ]
    return torch.optim.AdamW(settings, lr=config.lr, betas=config.betas)


def set_rate(
    optimizer: torch.optim.Optimizer, config: OptimConfig, *, step: int, steps: int
) -> float:
    """Set every group's learning rate for a step; returns that of scale 1."""
    rate = config.lr * rate_factor(step, steps, warmup=config.warmup, final=config.final)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def rate_factor(step: int, steps: int, *, warmup: float, final: float) -> float:
    """Return the share of the highest rate at a step, counted from 0.

    It rises in a straight line over the first ``warmup`` of the steps and falls by a cosine to
    ``final``, which the step after the last one would have.
    """
    rising = round(steps * warmup)
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
