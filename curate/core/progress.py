"""What a process that works in a folder says of itself every few seconds, for who looks on.

``progress.json`` is news and nothing else: no work depends on it, it is not flushed to disk, and a
disk that is full or a store that is away is not told of here. It is the last word of a process that
was killed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.core.atomic import read_json_if_there, write_passing
from curate.core.errors import StoreError
from curate.core.layout import PROGRESS_FILE
from curate.core.location import StorePath
from curate.core.processes import lives, this_process

#: Seconds between two writings; an object store charges for each.
DISK_S = 2.0
STORE_S = 10.0
#: A process of another machine that has been silent for so long is taken for dead, seconds.
SILENT_S = 60.0

Facts = Callable[[], Mapping[str, Any]]


@contextlib.contextmanager
def telling(folder: StorePath, facts: Facts) -> Iterator[None]:
    """Say what goes on in a folder while the block runs, and how it ended.

    Args:
        folder: whose ``progress.json`` it is.
        facts: called from a thread of its own; gives JSON values.
    """
    teller = _Teller(folder, facts)
    teller.start()
    ended = {"how": "done", "said": ""}
    try:
        yield
    except KeyboardInterrupt:
        ended = {"how": "stopped", "said": ""}
        raise
    except BaseException as error:
        ended = {"how": "failed", "said": str(error) or type(error).__name__}
        raise
    finally:
        teller.stop(ended)


class _Teller(threading.Thread):
    def __init__(self, folder: StorePath, facts: Facts) -> None:
        super().__init__(name="curate-progress", daemon=True)
        self._path = folder / PROGRESS_FILE
        self._facts = facts
        self._every_s = DISK_S if isinstance(folder, Path) else STORE_S
        self._mine = {**this_process(), "began": time.time(), "every_s": self._every_s}
        self._stopped = threading.Event()

    def run(self) -> None:
        self._tell(None)
        while not self._stopped.wait(self._every_s):
            self._tell(None)

    def stop(self, ended: Mapping[str, str]) -> None:
        """Say how it ended, unless another process has taken the folder over."""
        self._stopped.set()
        self.join()
        with contextlib.suppress(OSError, StoreError):
            there = read_json_if_there(self._path) or {}
            if all(there.get(key, value) == value for key, value in self._mine.items()):
                self._tell(ended)

    def _tell(self, ended: Mapping[str, str] | None) -> None:
        said = {**self._facts(), **self._mine, "written": time.time(), "ended": ended}
        with contextlib.suppress(OSError, StoreError):  # the next time may be luckier
            write_passing(self._path, said)


def read_progress(folder: StorePath) -> dict[str, Any]:
    """Return what was last said in a folder; empty where nothing was, or nothing that is whole."""
    try:
        found = read_json_if_there(folder / PROGRESS_FILE)
    except StoreError:
        return {}
    return found if isinstance(found, dict) else {}


def tells_still(said: Mapping[str, Any]) -> bool:
    """Whether the process that has said so is still at it, as far as can be told from here."""
    if not said or said.get("ended"):
        return False
    known = lives(said)
    return time.time() - float(said.get("written", 0)) < SILENT_S if known is None else known
