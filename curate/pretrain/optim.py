"""AdamW in groups, and the learning rate's course."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from curate.pretrain.config import OptimConfig

if TYPE_CHECKING:
    import torch

    from curate.models.pair_model import PairModel

#: ``text.layers.2.widen.weight``: the tower's name, the layer's number.
_LAYER = re.compile(r"^(?P<tower>.*?)\.?\b(?:layers?|blocks)\.(?P<number>\d+)\.")
#: Parts of a tower that lie below its layers.
_BELOW = re.compile(r"embed|words|positions|patch|stem|pre_layrnorm|^text\.norm\.|\btoken")


def build_optimizer(
    model: PairModel, config: OptimConfig, *, pretrained: Collection[str] = ()
) -> torch.optim.AdamW:
    """Build AdamW: groups with rates of their own, no decay on norms, biases and scalars.

    A tower with ``image_lr_scale: 0`` is frozen here, as is what ``image_unlocked`` leaves out.

    Args:
        model: what is trained.
        config: the recipe's.
        pretrained: names of the parameters that do not begin by chance; where there are none, or
            nothing else, ``fresh_lr_scale`` has no effect.
    """
    import torch

    scales = rate_scales([name for name, _ in model.named_parameters()], config, pretrained)
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not scales[name]:
            parameter.requires_grad_(False)
            continue
        groups.setdefault((scales[name], parameter.ndim >= 2), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "scale": scale,
        }
        for (scale, decays), parameters in sorted(groups.items())
    ]
    return torch.optim.AdamW(settings, lr=config.lr, betas=config.betas)


def rate_scales(
    names: Collection[str], config: OptimConfig, pretrained: Collection[str] = ()
) -> dict[str, float]:
    """Return each parameter's share of the learning rate; 0 where it is frozen.

    The factors multiply: the tower's, the layer's, and that of a fresh start beside trained parts.

    Args:
        names: of all parameters.
        config: the recipe's.
        pretrained: names of those that do not begin by chance.
    """
    tops: dict[str, int] = {}
    for name in names:
        if found := _LAYER.match(name):
            tower = found["tower"]
            tops[tower] = max(tops.get(tower, 0), int(found["number"]) + 1)
    scales = {}
    for name in names:
        above = _layers_above(name, tops)
        scale = config.layer_decay**above
        if name.startswith("image_tower."):
            locked = config.image_unlocked is not None and above > config.image_unlocked
            scale *= 0.0 if locked else config.image_lr_scale
        if pretrained and name not in pretrained:
            scale *= config.fresh_lr_scale
        scales[name] = scale
    return scales


def _layers_above(name: str, tops: dict[str, int]) -> int:
    """Return how many layers' steps a parameter lies below its tower's top: heads have none.

    As BEiT counts: of n layers the last has 1, the first n, and the embeddings n + 1.
    """
    if found := _LAYER.match(name):
        return tops[found["tower"]] - int(found["number"])
    if not _BELOW.search(name):
        return 0
    under = [top for tower, top in tops.items() if name.split(".", 1)[0] == tower.split(".", 1)[0]]
    return max(under, default=-1) + 1


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set every group's learning rate, given that of scale 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


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
