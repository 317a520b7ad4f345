"""The device and the precision that a recipe asks for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def pick_device(wanted: str) -> torch.device:
    """Return the device: ``auto`` takes a GPU when there is one."""
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context of a forward pass: ``auto`` is bf16 on a GPU and fp32 elsewhere."""
    import torch

    if precision == "bf16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
