"""One process owns a run: a lease that its owner renews and that expires when the owner dies.

Leases are numbered files in ``lease/``, and the highest number is the one that holds. Each is made
by the one operation that every store has for it, a new file where there must be none, so of many
takers one wins; none is ever taken over in place, and only its owner writes it again. The last one
stays, marked as released, so that a late taker sees what it has missed.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from curate.core.atomic import child_names, read_bytes, remove, write_json, write_new
from curate.core.errors import RunLocked, StorageFull, StoreError
from curate.core.failpoints import reach
from curate.core.location import StorePath
from curate.core.objects import modified
from curate.core.processes import lives, this_process

LEASE_FOLDER = "lease"
RENEW_S = 10.0
EXPIRE_S = 60.0
_NAME = re.compile(r"\d{8}\.json")
_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Lease:
    """One lease as it was found: its number (0: there is none yet), its file, what it says."""

    number: int
    path: StorePath
    facts: dict[str, Any]


@contextlib.contextmanager
def owned(root: StorePath) -> Iterator[bool]:
    """Own a run's folder while the block runs.

    A lease whose owner is a dead process of this host is taken over at once; one of another host
    when it was not renewed for a minute. A block that has lost its lease to another process (this
    one was suspended, or cut off, for more than a minute) is interrupted.

    SIGTERM raises KeyboardInterrupt in the block, as Ctrl-C does: a scheduler asks to stop. What
    a script starts in the background is deaf to SIGINT, so a lost lease is told by SIGTERM too.

    Yields:
        Whether the last owner went without releasing its lease, and so may have left things half
        done.

    Raises:
        RunLocked: another process owns the run, or has taken it meanwhile.
    """
    mine, crashed = _take(root)
    reach("lease.taken")
    keeper = _Keeper(root, mine)
    try:
        with _stopped_by_sigterm():
            keeper.start()
            yield crashed
    except KeyboardInterrupt:
        if not keeper.lost:
            raise
    finally:
        keeper.stop()
    if keeper.lost:
        raise RunLocked(
            f"another process has taken {root}: this one had not renewed its lease for "
            f"{EXPIRE_S:.0f} s. What was committed stays valid; let one process go on with it"
        )


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM, unless somebody handles it; in the main thread alone."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def owner_of(root: StorePath) -> dict[str, Any] | None:
    """Return host and process of a run's living owner, or None."""
    facts, state = holder_of(root)
    return facts if state == "alive" else None


def holder_of(root: StorePath) -> tuple[dict[str, Any], Literal["none", "alive", "gone", "left"]]:
    """Return host and process of a run's last owner, and what has become of it.

    ``left`` is one that has released its lease, ``gone`` one that has not and is dead or has not
    been heard of for a minute; ``none``: nobody has ever owned it.
    """
    newest = _newest(root)
    if not newest.facts:
        return {}, "none"
    if newest.facts.get("released"):
        return newest.facts, "left"
    return newest.facts, "alive" if _alive(newest) else "gone"


class _Keeper(threading.Thread):
    """Renews a lease from a thread of its own, and interrupts its owner when it is lost."""

    def __init__(self, root: StorePath, mine: _Lease) -> None:
        super().__init__(name="curate-lease", daemon=True)
        self._root = root
        self._mine = mine
        self._stopped = threading.Event()
        self._in_main = threading.current_thread() is threading.main_thread()
        self.lost = False

    def run(self) -> None:
        while not self._stopped.wait(RENEW_S):
            with contextlib.suppress(OSError, StoreError):  # the next time may be luckier
                if self._is_lost():
                    self.lost = True
                    if self._in_main:
                        _thread.interrupt_main(signal.SIGTERM)
                    return
                _renew(self._mine)

    def _is_lost(self) -> bool:
        newest = _newest(self._root)
        return newest.number != self._mine.number or (
            newest.facts.get("token") != self._mine.facts["token"]
        )

    def stop(self) -> None:
        """Stop renewing and release the lease, unless it is another's by now."""
        self._stopped.set()
        self.join()
        with contextlib.suppress(OSError, StoreError):  # else it expires
            if not self.lost and not self._is_lost():
                self._release()

    def _release(self) -> None:
        try:
            write_json(self._mine.path, {**self._mine.facts, "released": True})
        except StorageFull:
            remove(self._mine.path)


def _take(root: StorePath) -> tuple[_Lease, bool]:
    facts = {**this_process(), "token": uuid.uuid4().hex}
    for _ in range(_TRIES):
        newest = _newest(root)
        if newest.facts.get("token") == facts["token"]:
            return newest, False  # the store has answered a repeated request
        if _alive(newest):
            raise RunLocked(
                f"{root} is owned by process {newest.facts.get('pid')} on "
                f"{newest.facts.get('host')}: wait for it or stop it first "
                f"(a lease expires {EXPIRE_S:.0f} s after its owner is gone)"
            )
        mine = _Lease(newest.number + 1, _path(root, newest.number + 1), facts)
        if write_new(mine.path, facts):
            _remove_older(root, mine.number)
            return mine, newest.number > 0 and not newest.facts.get("released")
    raise RunLocked(f"{root} was taken by another process at this moment")


def _newest(root: StorePath) -> _Lease:
    """Return the lease that holds; a file that cannot be read says nothing of its owner."""
    while True:
        found = [name for name in child_names(root / LEASE_FOLDER) if _NAME.fullmatch(name)]
        if not found:
            return _Lease(0, _path(root, 0), {})
        number = int(found[-1][:8])
        path = _path(root, number)
        try:
            facts = json.loads(read_bytes(path))
        except FileNotFoundError:  # removed by the owner of a newer one: look again
            continue
        except ValueError:
            facts = {}
        return _Lease(number, path, facts if isinstance(facts, dict) else {})


def _path(root: StorePath, number: int) -> StorePath:
    return root / LEASE_FOLDER / f"{number:08d}.json"


def _remove_older(root: StorePath, number: int) -> None:
    for name in child_names(root / LEASE_FOLDER):
        if _NAME.fullmatch(name) and int(name[:8]) < number:
            remove(root / LEASE_FOLDER / name)


def _renew(lease: _Lease) -> None:
    if isinstance(lease.path, Path):
        lease.path.touch()
    else:
        write_json(lease.path, lease.facts)


def _alive(lease: _Lease) -> bool:
    owner = lease.facts
    if lease.number == 0 or owner.get("released"):
        return False
    known = lives(owner)
    if known is not None:
        return known
    try:
        return _age_s(lease.path) < EXPIRE_S
    except FileNotFoundError:
        return False


def _age_s(path: StorePath) -> float:
    """Return how long ago a lease was renewed, both times by the clock of who keeps the files."""
    if isinstance(path, Path):
        return time.time() - path.stat().st_mtime
    probe = path.parent / f"clock-{uuid.uuid4().hex}"
    try:
        write_json(probe, {})
    except StoreError:  # who may only read has to trust its own clock
        return time.time() - modified(path)
    try:
        return modified(probe) - modified(path)
    finally:
        remove(probe)
