"""SIGKILL in mid-pass, both engines, then the same command: the same rows as undisturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import curate
from tests.models.checkpoints import tiny_med

REPO = Path(__file__).resolve().parents[1]
SORT = ["partition", "row"]


class Command:
    """``curate run`` of the quickstart with a very small random model, as a process of its own."""

    def __init__(self, model: Path, output: Path, engine: str, *more: str) -> None:
        sets = [
            f"stages[6].model={model}",
            f"stages[7].model={model}",
            "source.partition_rows=25",
            "pretrain=null",
            "evaluate=null",
            *more,
        ]
        self.output = output
        self.command = [
            *(sys.executable, "-m", "curate.cli", "run", "pipelines/quickstart.yaml"),
            *("--engine", engine, "--output", str(output)),
            *(part for text in sets for part in ("--set", text)),
        ]

    def finish(self) -> str:
        done = subprocess.run(
            self.command, cwd=REPO, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill_after(self, commits: int, leg: str) -> int:
        """Kill the process once a leg has that many commits; returns how many there were then."""
        self.signal_after(commits, leg, signal.SIGKILL)
        return self.commits(leg)

    def signal_after(self, commits: int, leg: str, number: int) -> tuple[int, str]:
        """Send a signal once a leg has that many commits; returns exit code and standard error."""
        process = subprocess.Popen(
            self.command,
            cwd=REPO,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 180
            while self.commits(leg) < commits:
                assert process.poll() is None, "it ended before the signal"
                assert time.monotonic() < deadline, f"{self.commits(leg)} commits in three minutes"
                time.sleep(0.01)
            os.kill(process.pid, number)
            said = process.communicate(timeout=30)[1]
        finally:
            process.kill()
            process.wait()
        return process.returncode, said

    def commits(self, leg: str) -> int:
        return len(list(self.output.glob(f"passes/{leg}-*/commits/*/*.json")))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("model") / "med")


@pytest.fixture(scope="module")
def undisturbed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.RunView]:
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    Command(model, output, "local").finish()
    yield curate.open_run(output)


def ledger_of(run: curate.RunView) -> pd.DataFrame:
    """The ledger in order; each process serves the practice web at a port of its own."""
    ledger = run.ledger().sort_values([*SORT, "stage"], ignore_index=True)
    ledger["detail"] = ledger["detail"].str.replace(r"'127\.0\.0\.1', \d+", "loopback", regex=True)
    assert ledger["detail"].str.contains("loopback").any()
    return ledger


def assert_same(left: curate.RunView, right: curate.RunView) -> None:
    assert left.rows(left.columns, arrow=True).equals(right.rows(right.columns, arrow=True))
    for frames in (
        [ledger_of(run) for run in (left, right)],
        [run.canaries().sort_values([*SORT, "text"], ignore_index=True) for run in (left, right)],
        [run.texts(selection="default") for run in (left, right)],
    ):
        pd.testing.assert_frame_equal(*frames)


def test_local(model: Path, undisturbed: curate.RunView, tmp_path: Path) -> None:
    command = Command(model, tmp_path / "run", "local")
    assert command.kill_after(2, "1/leg-0") < 14  # while fetching
    assert command.kill_after(3, "2/leg-0") < 14  # while captioning
    command.finish()
    assert_same(curate.open_run(command.output), undisturbed)
    assert "nothing to do" in command.finish()


def test_ray(model: Path, undisturbed: curate.RunView, tmp_path: Path) -> None:
    two = '{"med": 2, "filter": 2}'
    command = Command(model, tmp_path / "run", "ray", f"engine.workers={two}")
    assert command.kill_after(3, "2/leg-0") < 14
    command.finish()
    assert_same(curate.open_run(command.output), undisturbed)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_ctrl_c_stops_within_seconds_and_says_how_to_go_on(
    engine: str, model: Path, undisturbed: curate.RunView, tmp_path: Path
) -> None:
    command = Command(model, tmp_path / "run", engine)
    code, said = command.signal_after(2, "1/leg-0", signal.SIGINT)
    assert code == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    if engine == "local":
        command.finish()
        assert_same(curate.open_run(command.output), undisturbed)
