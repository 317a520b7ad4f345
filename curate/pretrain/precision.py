"""The precision that a recipe asks for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def resolved(device: torch.device, precision: str) -> str:
    """Return the precision of a forward pass: ``auto`` is bf16 on a GPU and fp32 elsewhere."""
    if precision == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return precision


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context of a forward pass."""
    import torch

    types = {"fp16": torch.float16, "bf16": torch.bfloat16}
    found = resolved(device, precision)
    return torch.autocast(device.type, types[found]) if found in types else contextlib.nullcontext()


def build_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler | None:
    """Return what scales losses so that small gradients survive fp16; None for the others.

    A step whose gradients overflow is left out and the scale halved.
    """
    import torch

    return torch.amp.GradScaler(device.type) if precision == "fp16" else None
