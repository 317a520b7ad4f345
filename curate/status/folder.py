"""Which kind of folder it is, and how far it is: a run's, a training's, or a loop's."""

from __future__ import annotations

from typing import Any

from curate.core.atomic import child_names, exists
from curate.core.layout import PLAN_FILE
from curate.core.location import StorePath
from curate.core.progress import read_progress
from curate.status.run import RunFollower, trainings_below
from curate.status.state import state_of
from curate.status.training import is_training, training_status

#: What a loop writes when it is through.
_RESULTS = ("bootstrap.json", "proof.json")


class Follower:
    """Reads the state of a folder again and again."""

    def __init__(self, root: StorePath) -> None:
        """Begin; nothing is read."""
        self._root = root
        self._run = RunFollower(root)
        self._run_of_loop = RunFollower(root / "run")

    def facts(self) -> dict[str, Any]:
        """Return the state of a run, a training (``curate pretrain``) or a loop, as plain values.

        Raises:
            StoreError: the folder holds none of them.
        """
        if exists(self._root / PLAN_FILE):
            return self._run.facts()
        if is_training(self._root):
            return training_status(self._root)
        said = read_progress(self._root)
        names = child_names(self._root)
        if said.get("kind") == "loop" or {"run", "models"} <= set(names):
            return self._loop(said, names)
        return self._run.facts()  # which says what is missing

    def _loop(self, said: dict[str, Any], names: list[str]) -> dict[str, Any]:
        begun = exists(self._root / "run" / PLAN_FILE)
        state = state_of(said, finished=any(name in names for name in _RESULTS))
        return {
            "kind": "loop",
            "loop": str(self._root),
            "name": said.get("name") or self._root.name,
            "state": state,
            "said": (said.get("ended") or {}).get("said", ""),
            "owner": {key: said[key] for key in ("host", "pid")} if state == "running" else None,
            "progress": said or None,
            "run": self._run_of_loop.facts() if begun else None,
            "trainings": trainings_below(self._root / "models"),
        }
