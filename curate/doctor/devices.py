"""What torch was built for, and the devices it finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curate.amounts import size_text
from curate.doctor.findings import Finding


@dataclass(frozen=True, slots=True)
class Devices:
    """GPUs that torch can use.

    Attributes:
        gpus: how many.
        bfloat16: whether they multiply bfloat16; on a machine without GPUs, whether its CPU does.
    """

    gpus: int
    bfloat16: bool


def check_devices(found: list[Devices]) -> Iterator[Finding]:
    """Look at torch and its devices.

    Args:
        found: gets the devices, for checks that come after.
    """
    try:
        import torch
    except Exception as error:  # a build that does not fit the machine fails in ways of its own
        found.append(Devices(0, bfloat16=False))
        says = f"cannot be imported: {type(error).__name__}: {error}"
        mend = "install it anew, in a build for this machine"
        yield Finding("devices", "torch", "missing", says, mend, required=True)
        return
    build = torch.version.cuda or torch.version.hip
    name = f"CUDA {build}" if torch.version.cuda else f"ROCm {build}" if build else "CPU alone"
    yield Finding("devices", "torch", "ok", f"{torch.__version__}, built for {name}", required=True)
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        bfloat16 = bool(torch.cuda.is_bf16_supported(including_emulation=False))
        found.append(Devices(count, bfloat16))
        for number in range(count):
            yield _gpu(number, bfloat16)
        return
    bfloat16 = _cpu_has_bfloat16()
    found.append(Devices(0, bfloat16))
    if any(Path("/dev").glob("nvidia[0-9]*")):
        says = "this machine has an NVIDIA GPU and torch cannot use it"
        mend = (
            "install torch's CUDA build"
            if not build
            else "look at nvidia-smi: the driver may be too old for this build"
        )
        yield Finding("devices", "gpu", "warning", says, mend)
    else:
        yield Finding("devices", "gpu", "ok", "none: models run on the CPU")
    says = "bfloat16 is " + ("multiplied natively" if bfloat16 else "emulated, no faster")
    yield Finding("devices", "cpu", "ok", f"{torch.backends.cpu.get_cpu_capability()}; {says}")


def _gpu(number: int, bfloat16: bool) -> Finding:
    import torch

    facts = torch.cuda.get_device_properties(number)
    free, total = torch.cuda.mem_get_info(number)
    scarce = free < 0.5 * total
    says = f"{facts.name}, {size_text(free)} of {size_text(total)} free, " + (
        "bfloat16" if bfloat16 else "no bfloat16: give 'dtype: float16'"
    )
    mend = "another process holds it: end it, or take less than the whole ('num_gpus: 0.5')"
    return Finding(
        "devices", f"gpu {number}", "warning" if scarce else "ok", says, mend if scarce else ""
    )


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))
