"""One process owns a run: a lease that its owner renews and that expires when the owner dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.core.atomic import storage_errors, write_json
from curate.core.errors import RunLocked
from curate.core.failpoints import reach

LEASE_FILE = "lease.json"
RENEW_S = 10.0
EXPIRE_S = 60.0


@contextlib.contextmanager
def owned(root: Path) -> Iterator[None]:
    """Own a run's folder while the block runs.

    A lease whose owner is a dead process of this host is taken over at once; one of another host
    when it was not renewed for a minute.

    Raises:
        RunLocked: another process owns the run.
    """
    path = root / LEASE_FILE
    me = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "token": uuid.uuid4().hex,
    }
    _take(path, me)
    reach("lease.taken")
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEW_S):
            with contextlib.suppress(OSError):
                path.touch()

    thread = threading.Thread(target=renew, name="curate-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if _owner(path).get("token") == me["token"]:
            path.unlink(missing_ok=True)


def owner_of(root: Path) -> dict[str, Any] | None:
    """Return host and process of a run's living owner, or None."""
    path = root / LEASE_FILE
    owner = _owner(path)
    return owner if owner and _alive(path, owner) else None


def _take(path: Path, me: dict[str, Any]) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                with path.open("x", encoding="utf-8") as file:
                    json.dump(me, file)
                return
            except FileExistsError:
                owner = _owner(path)
                if _alive(path, owner):
                    raise RunLocked(
                        f"{path.parent} is owned by process {owner.get('pid')} on "
                        f"{owner.get('host')}: wait for it or stop it first "
                        f"(a lease expires {EXPIRE_S:.0f} s after its owner is gone)"
                    ) from None
                # dead: take its place whole, then look whether somebody else was quicker
                write_json(path, me)
                time.sleep(0.05)
                if _owner(path).get("token") == me["token"]:
                    return
    raise RunLocked(f"{path.parent} was taken by another process at this moment")


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _alive(path: Path, owner: dict[str, Any]) -> bool:
    if owner.get("host") == socket.gethostname() and isinstance(owner.get("pid"), int):
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        # a container that is started anew gives the same number to another process
        return owner.get("started") in (None, _started(owner["pid"]))
    try:
        return time.time() - path.stat().st_mtime < EXPIRE_S
    except FileNotFoundError:
        return False


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine did; None where nobody says."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]  # field 22; the name before it may hold anything
