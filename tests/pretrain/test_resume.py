"""Killed anywhere, the same command ends with the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from curate.core.errors import StoreError
from curate.pretrain.sections import StartConfig
from curate.pretrain.state import FILE
from curate.pretrain.trainer import PretrainResult, pretrain
from tests.pretrain.scenes import recipe, scenes

#: Everything that has a state of its own: dropout, crops, teacher, queues, late objectives.
EVERYTHING: dict[str, Any] = {
    "augment": {"crop_area": (0.5, 1.0), "rand_augment": 1},
    "objectives": ["itc", {"kind": "itm", "from_epoch": 1}, "lm"],
    "teacher": {"momentum": 0.9, "ramp_epochs": 2},
    "queue": 50,
    "accumulate": 2,
    "epochs": 4,
    "batch_size": 8,
    "log_every": 5,
    "checkpoint_every_s": 0,
}


def settings(**changes: Any) -> Any:
    made = recipe(**{**EVERYTHING, **changes})
    model = {**made.start.model, "dropout": 0.1}
    return made.model_copy(update={"start": made.start.model_copy(update={"model": model})})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def losses(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in row.items() if k not in ("images_per_s", "data_wait")} for row in rows
    ]


def train(folder: Path, *, stop_at: int | None = None, **changes: Any) -> PretrainResult:
    """Train; with ``stop_at`` ask it to stop once that many steps are logged."""

    torch.set_num_threads(1)  # as the child does; and several would wait for each other

    def echo(line: str) -> None:
        assert line

    if stop_at is None:
        return pretrain(settings(**changes), folder, scenes(4), echo)
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            path = folder / "metrics.jsonl"
            if path.exists() and len(path.read_text().splitlines()) * 5 >= stop_at:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.005)

    watcher = threading.Thread(target=ask)
    watcher.start()
    try:
        return pretrain(settings(**changes), folder, scenes(4), echo)
    finally:
        done.set()
        watcher.join()


def test_stopped_by_ctrl_c_it_goes_on(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    for stop_at in (5, 15):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", stop_at=stop_at, checkpoint_every_s=1000)
        assert (tmp_path / "cut" / FILE).exists()
        assert not (tmp_path / "cut" / "model").exists()
    train(tmp_path / "cut", checkpoint_every_s=1000)
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
    assert not (tmp_path / "cut" / FILE).exists()


_CHILD = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from curate.pretrain.trainer import pretrain
from tests.pretrain.scenes import scenes
from tests.pretrain.test_resume import settings
pretrain(settings(), Path(sys.argv[1]), scenes(4), echo=lambda line: None)
"""


def test_killed_at_any_moment_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    cut = tmp_path / "cut"
    command = [sys.executable, "-c", _CHILD, str(cut)]
    for wanted_rows in (1, 3):
        with subprocess.Popen(command) as child:
            metrics = cut / "metrics.jsonl"
            while not metrics.exists() or len(metrics.read_text().splitlines()) < wanted_rows:
                assert child.poll() is None, "finished before it was killed"
                time.sleep(0.003)
            child.send_signal(signal.SIGKILL)
    (cut / ".state.pt.1234.tmp").write_bytes(b"half")
    (cut / ".model.1234.tmp").mkdir()
    train(cut)
    assert same(tmp_path / "whole", cut)
    assert losses(tmp_path / "whole") == losses(cut)
    assert not list(cut.glob(".*"))


def test_another_mixing_goes_on_too(tmp_path: Path) -> None:
    texts = {"texts": {"mixing": "concatenate"}, "ahead": 0}
    changes = {"data": texts, "objectives": ["lm"], "teacher": None, "queue": 0, "epochs": 2}
    train(tmp_path / "whole", **changes)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop_at=15, **changes)
    train(tmp_path / "cut", **changes)
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_a_state_is_good_for_its_own_recipe_and_data_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a", stop_at=5, checkpoint_every_s=1000)
    with pytest.raises(StoreError, match="another recipe"):
        train(tmp_path / "a", seed=5)
    with pytest.raises(StoreError, match="another pictures and other texts"):
        pretrain(settings(), tmp_path / "a", scenes(5), print)
    train(tmp_path / "a", checkpoint_every_s=7, tensorboard=True)  # speed and patience may change
    path = tmp_path / "b" / FILE
    path.parent.mkdir()
    path.write_bytes(b"half a file")
    with pytest.raises(StoreError, match="is damaged"):
        train(tmp_path / "b")


def test_a_state_is_good_for_its_own_starting_weights_alone(tmp_path: Path) -> None:
    for name, seed in (("start", 1), ("other", 2)):
        train(tmp_path / name, epochs=1, seed=seed, objectives=["lm"], teacher=None, queue=0)
    begin = recipe(**EVERYTHING).model_copy(
        update={"start": StartConfig.model_validate({"from": tmp_path / "start" / "model"})}
    )
    stop = iter([False] * 5 + [True] * 1000)
    with pytest.raises(KeyboardInterrupt):
        pretrain(begin, tmp_path / "a", scenes(4), str, asked=stop.__next__)
    held = tmp_path / "start" / "model" / "model.safetensors"
    held.write_bytes((tmp_path / "other" / "model" / "model.safetensors").read_bytes())
    with pytest.raises(StoreError, match="another starting weights"):
        pretrain(begin, tmp_path / "a", scenes(4), str)
