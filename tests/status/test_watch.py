"""'curate status --watch' from another process, on a real run that goes on."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.core.layout import PLAN_FILE
from tests.recipes import (
    curate_process,
    folder_recipe,
    installed_plugin,
    picture_folder,
    write_recipe,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def started(tmp_path: Path, sleep_s: float) -> subprocess.Popen[str]:
    """Start a run of three partitions whose last leg takes its time; returns when it has a plan."""
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"][3]["sleep_s"] = sleep_s
    process = curate_process("run", write_recipe(tmp_path / "r.yaml", recipe))
    while not (tmp_path / "run" / PLAN_FILE).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


def test_it_follows_a_run_to_its_end(tmp_path: Path) -> None:
    with started(tmp_path, 4.0) as run:
        watching = curate_process(
            *("status", tmp_path / "run", "--watch", "--json", "--interval", "0.5")
        )
        out, err = watching.communicate(timeout=120)
        assert watching.returncode == 0, err
        assert run.wait(timeout=60) == 0
    looks = [json.loads(line) for line in out.splitlines()]
    states = [look["state"] for look in looks]
    assert states == ["running"] * (len(looks) - 1) + ["finished"]
    owners = {look["owner"]["pid"] for look in looks if look["owner"]}
    assert owners == {run.pid}
    done = [look["steps"][-1]["partitions"] for look in looks]
    assert done == sorted(done)
    assert done[-1] == 3
    workers = [one for look in looks for one in (look["progress"] or {}).get("workers", [])]
    assert {"text_length+letters"} <= {one["leg"] for one in workers if one["state"] == "working"}
    assert any((look["steps"][-1]["rates"] or {}).get("rows_per_s") for look in looks)
    assert any(look["steps"][-1]["left_s"] for look in looks)


def test_on_a_terminal_it_draws_over_and_ctrl_c_leaves_the_run_alone(tmp_path: Path) -> None:
    with started(tmp_path, 5.0) as run:
        terminal, inner = pty.openpty()
        watching = subprocess.Popen(
            [
                *(sys.executable, "-m", "curate.cli", "status", str(tmp_path / "run"), "--watch"),
                *("--interval", "0.3"),
            ],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "300", "LINES": "40"},
            start_new_session=True,
        )
        os.close(inner)
        seen = b""
        while seen.count(b"running as process") < 4:
            seen += os.read(terminal, 65_536)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=30) == 130
        seen += os.read(terminal, 65_536)
        assert b"\x1b[1A\x1b[2K" in seen  # up a line, and clear it
        assert b"the work goes on" in seen
        assert b"same command" not in seen
        assert run.wait(timeout=60) == 0


def test_a_run_that_is_killed_ends_the_watching_with_2(tmp_path: Path) -> None:
    with started(tmp_path, 60.0) as run:
        watching = curate_process("status", tmp_path / "run", "--watch", "--interval", "0.3")
        assert watching.stdout is not None
        assert "running as process" in watching.stdout.readline()
        run.kill()
        out, _ = watching.communicate(timeout=60)
        assert watching.returncode == 2
        assert "killed: its process is gone" in out
