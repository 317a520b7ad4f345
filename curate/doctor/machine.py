"""Cores, memory, disks, open files, shared memory, and programs beside Python."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from curate.amounts import size_text
from curate.core.machine import cores
from curate.core.scratch import user_cache
from curate.doctor.findings import Finding

#: Below these a run works, and suffers.
_MEMORY, _DISK, _FILES = 4e9, 5e9, 4096
#: Of a machine's memory Ray wants so much of /dev/shm for its object store.
_OF_SHARED_MEMORY = 0.3


def memory() -> tuple[int, int] | None:
    """Return memory in bytes, all of it and what is free; None where nobody says.

    Both are within this process's control group.
    """
    lines = _text(Path("/proc/meminfo")).splitlines()
    facts = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    if "MemTotal" not in facts or "MemAvailable" not in facts:
        return None
    total, free = (int(facts[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
    limit = _text(Path("/sys/fs/cgroup/memory.max")).strip()
    if limit.isdigit():
        used = _text(Path("/sys/fs/cgroup/memory.current")).strip()
        total = min(total, int(limit))
        free = min(free, int(limit) - int(used or 0))
    return total, free


def check_machine(output: Path | None) -> Iterator[Finding]:
    """Look at the machine.

    Args:
        output: where runs are to be written; None where that is no disk.
    """
    every = os.cpu_count() or 1
    few = cores() < 2
    yield Finding(
        "machine",
        "cores",
        "warning" if few else "ok",
        f"{cores()} of {every} may be used",
        "captioning wants more than one" if few else "",
    )
    yield from _memory()
    yield from _disks(output)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding(
        "machine",
        "open files",
        "ok" if soft >= _FILES else "warning",
        f"at most {soft:,} at once" + ("" if soft >= _FILES else ": Ray and downloads want more"),
        "" if soft >= _FILES else f"ulimit -n {min(hard, 65_536) if hard > 0 else 65_536}",
    )
    yield from _shared_memory()


def _memory() -> Iterator[Finding]:
    found = memory()
    if found is None:
        yield Finding("machine", "memory", "warning", "cannot be told on this system")
        return
    total, free = found
    yield Finding(
        "machine",
        "memory",
        "ok" if free >= _MEMORY else "warning",
        f"{size_text(free)} of {size_text(total)} free",
        "" if free >= _MEMORY else "a worker with a BLIP model takes 3 to 4 GB: end something else",
    )


def _disks(output: Path | None) -> Iterator[Finding]:
    places = {
        "cache": Path(os.environ.get("HF_HOME") or user_cache() / "huggingface"),
        "temporary folder": Path(tempfile.gettempdir()),
    }
    if output is not None:
        places = {"output": output, **places}
    for name, folder in places.items():
        there = existing(folder)
        free = shutil.disk_usage(there).free
        writable = os.access(there, os.W_OK)
        needed = name == "output"
        if not writable:
            mend = f"mend the permissions of {there}, or choose another folder"
            said = f"{there} cannot be written"
            yield Finding("machine", name, "missing", said, mend, required=True)
            continue
        yield Finding(
            "machine",
            name,
            "ok" if free >= _DISK else "warning",
            f"{size_text(free)} free at {there}"
            + (f", about {free / 1.2e5:,.0f} pictures with their shards" if needed else ""),
            "" if free >= _DISK else "free some space, or choose another disk",
        )


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there."""
    folder = folder.expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _shared_memory() -> Iterator[Finding]:
    folder, found = Path("/dev/shm"), memory()
    if not folder.is_dir() or found is None:
        return
    size, wanted = shutil.disk_usage(folder).free, found[0] * _OF_SHARED_MEMORY
    enough = size >= min(wanted, 2e9)
    yield Finding(
        "machine",
        "/dev/shm",
        "ok" if enough else "warning",
        f"{size_text(size)} free"
        + ("" if enough else ": Ray's object store falls back to the disk, ten times slower"),
        "" if enough else "docker run --shm-size=4g, or a larger tmpfs at /dev/shm",
    )


def check_programs() -> Iterator[Finding]:
    """Look at what is optional and not Python's."""
    from curate.images.area import COMPILED

    yield Finding(
        "optional",
        "compiled shrinking",
        "ok" if COMPILED else "missing",
        "pictures are shrunk " + ("by the compiled loop" if COMPILED else "by OpenCV, slower"),
        "" if COMPILED else "install a C compiler and curate again (x86-64 alone)",
    )
    java = java_version()
    yield Finding(
        "optional",
        "java",
        "ok" if java else "missing",
        f"METEOR and SPICE of captions; {java or 'not there'}",
        "" if java else "install a Java runtime (Debian: default-jre-headless)",
    )
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    yield Finding(
        "optional",
        "chromium",
        "ok" if browser else "missing",
        f"tests of pages in a browser; {browser or 'not there'}",
        "" if browser else "only for work on curate itself (Debian: chromium)",
    )


def java_version() -> str | None:
    """Return what ``java -version`` says of itself, or None where there is none that runs."""
    path = shutil.which("java")
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (said.stderr or said.stdout).splitlines()
    return lines[0] if said.returncode == 0 and lines else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
