"""Calls in processes of their own: so many at a time, and none that outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curate.core.errors import ModelError
from curate.side_by_side import SideBySide

ROOT = Path(__file__).parents[1]


def meet(folder: Path, own: str, other: str) -> None:
    """Return once the other is there too."""
    (folder / own).touch()
    while not (folder / other).exists():
        time.sleep(0.01)


def note(path: Path) -> None:
    import torch

    path.write_text(f"{os.getpid()} {torch.get_num_threads()}")


def fail(path: Path) -> None:
    raise ModelError(f"{path} does not fit")


def wait_for_ever(path: Path) -> None:
    note(path)
    while True:
        time.sleep(0.1)


def test_two_at_a_time(tmp_path: Path) -> None:
    beside = SideBySide(2)
    beside.start("a", meet, tmp_path, "a", "b")
    beside.start("b", meet, tmp_path, "b", "a")
    beside.start("c", note, tmp_path / "c")  # waits for room
    assert not (beside.is_running("a") and beside.is_running("b"))
    beside.finish()
    pid, threads = map(int, (tmp_path / "c").read_text().split())
    assert pid != os.getpid()
    assert threads >= 1
    assert not beside.is_running("c")


def test_one_at_a_time_is_nothing_ahead(tmp_path: Path) -> None:
    beside = SideBySide(1)
    beside.start("a", note, tmp_path / "a")
    beside.finish()
    assert not (tmp_path / "a").exists()


def test_what_fails_is_left_undone(tmp_path: Path) -> None:
    beside = SideBySide(2)
    beside.start("a", fail, tmp_path)
    beside.finish()
    assert not beside.is_running("a")


def test_left_by_an_exception_they_are_stopped(tmp_path: Path) -> None:
    beside = SideBySide(2)
    with pytest.raises(KeyboardInterrupt), beside.stopping():
        beside.start("a", wait_for_ever, tmp_path / "a")
        while not (tmp_path / "a").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert not beside.is_running("a")


_PARENT = """
import sys
from pathlib import Path
from curate.side_by_side import SideBySide
from tests.test_side_by_side import wait_for_ever
if __name__ == "__main__":
    beside = SideBySide(2)
    beside.start("a", wait_for_ever, Path(sys.argv[1]))
    beside.finish()
"""


def test_a_killed_parent_takes_them_along(tmp_path: Path) -> None:
    script, path = tmp_path / "parent.py", tmp_path / "a"
    script.write_text(_PARENT)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script), str(path)], env=env) as parent:
        while not path.exists() or not path.read_text():
            assert parent.poll() is None
            time.sleep(0.01)
        child = int(path.read_text().split()[0])
        os.kill(child, 0)  # it is there
        parent.send_signal(signal.SIGKILL)
    while _goes_on(child):
        time.sleep(0.01)


def _goes_on(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
