"""Trainings and loops: how far they are, from their folders."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from curate.core.atomic import read_json, write_json
from curate.core.errors import StoreError
from curate.core.layout import PROGRESS_FILE
from curate.core.progress import telling
from curate.status.folder import Follower
from curate.status.state import exit_code
from tests.docs.small_run import make_small_run
from tests.recipes import curate
from tests.status.test_run_status import shown

ROW = {"step": 40, "epoch": 2, "lr": 1e-4, "images_per_s": 20.5, "data_wait": 0.1}


def training(folder: Path, **row: float) -> Path:
    """Write metrics as a training does, the last line half written."""
    folder.mkdir(parents=True)
    lines = [
        json.dumps({**ROW, "step": step, "loss": 10.0 - step / 10, **row}) for step in (20, 40)
    ]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 60, "lo']))
    return folder


def look_at(folder: Path) -> dict[str, Any]:
    return Follower(folder).facts()


def test_a_training_that_goes_on(tmp_path: Path) -> None:
    folder = training(tmp_path / "blip", itc=1.25)
    said = {
        **{"kind": "training", "name": "small", "doing": "epoch 2/3", "step": 50, "steps": 100},
        **{"first": 0, "loop_began": time.time() - 10},
    }
    with telling(folder, lambda: said):
        while not (folder / PROGRESS_FILE).exists():
            time.sleep(0.01)
        facts = look_at(folder)
    assert (facts["state"], facts["step"], facts["steps"], facts["epoch"]) == (
        "running",
        50,
        100,
        2,
    )
    assert facts["losses"] == {"loss": 6.0, "itc": 1.25}
    assert facts["left_s"] == pytest.approx(10, rel=0.2)
    text = shown(facts)
    assert "small: " in text
    assert "step 50 of 100" in text
    assert "loss 6.000, itc 1.250, 20.5 images/s, rate 1.00e-04, waits for data 10%, 0:10" in text


def test_a_training_that_ended(tmp_path: Path) -> None:
    folder = training(tmp_path / "blip")
    assert look_at(folder)["state"] == "unfinished"
    with pytest.raises(StoreError), telling(folder, lambda: {"kind": "training", "steps": 100}):
        raise StoreError("no room left")
    facts = look_at(folder)
    assert (facts["state"], facts["step"], exit_code(facts)) == ("failed", 40, 2)
    assert "failed (no room left)" in shown(facts)
    said = read_json(folder / PROGRESS_FILE)
    write_json(folder / PROGRESS_FILE, {**said, "ended": None, "pid": 2**22 - 1})
    assert look_at(folder)["state"] == "killed"
    write_json(folder / "result.json", {"steps": 40})
    facts = look_at(folder)
    assert (facts["state"], facts["steps"], exit_code(facts)) == ("finished", 100, 0)
    assert curate("status", folder, "--watch").exit_code == 0


def test_a_process_of_another_machine_is_dead_when_it_is_silent(tmp_path: Path) -> None:
    folder = training(tmp_path / "blip")
    other = {"kind": "training", "host": "elsewhere", "boot": "x", "pid": 1, "step": 1, "steps": 2}
    write_json(folder / PROGRESS_FILE, {**other, "ended": None, "written": time.time()})
    assert look_at(folder)["state"] == "running"
    write_json(folder / PROGRESS_FILE, {**other, "ended": None, "written": time.time() - 120})
    assert look_at(folder)["state"] == "killed"


def test_a_loop_shows_its_trainings_and_its_run(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    make_small_run(tmp_path, loop / "run")
    training(loop / "models" / "1-captioner")
    said = {
        "kind": "loop",
        "name": "tiny_bootstrap",
        "engine": "",
        "doing": "round 1",
        "step": None,
    }
    with telling(loop, lambda: {**said, "committed_at": None}):
        while not (loop / PROGRESS_FILE).exists():
            time.sleep(0.01)
        facts = look_at(loop)
    assert (facts["kind"], facts["state"]) == ("loop", "running")
    assert [one["training"].rpartition("/")[2] for one in facts["trainings"]] == ["1-captioner"]
    assert facts["run"]["state"] == "finished"
    text = shown(facts)
    assert "tiny_bootstrap: " in text
    assert "round 1, for 0:0" in text
    assert "1-captioner" in text
    assert "small: " in text
    write_json(loop / "bootstrap.json", {})
    assert exit_code(look_at(loop)) == 0
    shutil.rmtree(loop / "run")
    assert look_at(loop)["run"] is None


def test_a_folder_that_is_none_of_them(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no run \(no plan.json\)"):
        look_at(tmp_path)
