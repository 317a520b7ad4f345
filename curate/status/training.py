"""How far a training is, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.core import objects
from curate.core.atomic import exists, read_json_if_there
from curate.core.layout import PROGRESS_FILE
from curate.core.location import StorePath
from curate.core.progress import read_progress
from curate.status.state import state_of

METRICS_FILE = "metrics.jsonl"
_RESULT_FILE = "result.json"
_TAIL = 65_536
#: Keys of a row of metrics that are no losses.
_NO_LOSS = ("step", "epoch", "lr", "images_per_s", "data_wait", "data_waits", "grad_norm")


def is_training(folder: StorePath) -> bool:
    """Whether a folder is a training's."""
    if exists(folder / METRICS_FILE):
        return True
    return exists(folder / PROGRESS_FILE) and read_progress(folder).get("kind") == "training"


def training_status(folder: StorePath) -> dict[str, Any]:
    """Return the state of a training as plain values.

    Raises:
        StoreError: a file is damaged.
    """
    said = read_progress(folder)
    result = read_json_if_there(folder / _RESULT_FILE)
    row = _last_row(folder / METRICS_FILE)
    state = state_of(said, finished=result is not None)
    running = state == "running"
    step = int(said["step"]) if running else int(row.get("step", 0))
    steps = said.get("steps") or (result or {}).get("steps")
    return {
        "kind": "training",
        "training": str(folder),
        "name": said.get("name") or folder.name,
        "state": state,
        "said": (said.get("ended") or {}).get("said", ""),
        "owner": {key: said[key] for key in ("host", "pid")} if running else None,
        "doing": said.get("doing") if running else None,
        "step": step,
        "steps": steps,
        "epoch": row.get("epoch"),
        "lr": row.get("lr"),
        "images_per_s": row.get("images_per_s"),
        "data_wait": row.get("data_wait"),
        "losses": {key: value for key, value in row.items() if key not in _NO_LOSS},
        "left_s": _left_s(said, step, steps) if running else None,
    }


def _left_s(said: Mapping[str, Any], step: int, steps: int | None) -> float | None:
    """Return how long it will take at the rate since it was started, seconds."""
    begun, first = said.get("loop_began"), said.get("first", 0)
    if not steps or begun is None or step <= first:
        return None
    return float((steps - step) * (said["written"] - begun) / (step - first))


def _last_row(path: StorePath) -> dict[str, Any]:
    """Return the last whole row of a file of metrics; empty where there is none."""
    try:
        end = _end_of(path) if isinstance(path, Path) else objects.read_end(path)
    except FileNotFoundError:
        return {}
    for line in reversed(end.splitlines()):
        try:
            row = json.loads(line)
        except ValueError:  # cut off at the beginning, or being written
            continue
        return row if isinstance(row, dict) else {}
    return {}


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read()
