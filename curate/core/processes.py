"""Which process it was: told so that another one can say whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return what tells this process from others: host, start of the machine, number, beginning."""
    return {**_machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def lives(process: Mapping[str, Any]) -> bool | None:
    """Whether a process lives.

    Args:
        process: what ``this_process`` gave there.

    Returns:
        None where it cannot be told: it is of another machine, or does not say.
    """
    here = {name: process.get(name) for name in ("host", "boot")} == _machine()
    pid = process.get("pid")
    if not here or not isinstance(pid, int):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    fields = _stat(pid)
    if fields and fields[0] in ("Z", "X"):  # dead, and its parent has not asked how
        return False
    # a container that is started anew gives the same number to another process
    return process.get("started") in (None, _started(pid))


def _machine() -> dict[str, str | None]:
    """Return what tells this machine from others: many are called localhost."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = None
    return {"host": socket.gethostname(), "boot": boot}


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine did; None where nobody says."""
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid: int) -> list[str]:
    """Return what Linux says of a process from its state on (proc(5)); empty elsewhere."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()  # the name before it may hold anything
