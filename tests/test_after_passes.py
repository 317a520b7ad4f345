from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from curate.after_passes import pretrain_on_selection
from curate.core.columns import IMAGE
from curate.core.selection import Selection, select
from curate.core.table import CommittedTable
from curate.stages.selectors.threshold import Config
from tests.core.tables import Row, Text, commit_table
from tests.pretrain.scenes import recipe, scenes


class Lines:
    """A reporter that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def step(self, name: str, done: int, total: int) -> None:
        pass

    def step_done(self, name: str, what: str) -> None:
        self.lines.append(what)


def made(root: Path) -> tuple[CommittedTable, Selection]:
    rows = [
        Row([Text(text, 0.9) for text in pair.texts], extra={"image": pair.image})
        for pair in scenes(3).pairs
    ]
    table = commit_table(root, [rows], extra=[IMAGE])
    selection, _ = select(table, Config(column="x_itm", min=0.5).build(), {}, name="default")
    return table, selection


def interrupt_after(path: Path) -> threading.Thread:
    """Press Ctrl-C once a file is there."""

    def press() -> None:
        while not path.exists():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_a_run_goes_on_with_an_unfinished_training_and_keeps_a_finished_one(tmp_path: Path) -> None:
    table, selection = made(tmp_path / "run")
    config = recipe(epochs=40, objectives=["itc"], checkpoint_every_s=0)
    output = table.store.root / "pretrain" / config.name
    pressing = interrupt_after(output / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        pretrain_on_selection(config, table, selection, Lines())  # type: ignore[arg-type]
    pressing.join()
    told = Lines()
    result = pretrain_on_selection(config, table, selection, told)  # type: ignore[arg-type]
    assert any(line.startswith("going on after step") for line in told.lines)
    assert Path(result["model"]).is_dir()
    again = Lines()
    assert pretrain_on_selection(config, table, selection, again) == result  # type: ignore[arg-type]
    assert again.lines == []
    other = recipe(epochs=1, objectives=["itc"])
    assert pretrain_on_selection(other, table, selection, Lines())["steps"] == 2  # type: ignore[arg-type]
