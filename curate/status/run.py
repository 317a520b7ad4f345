"""How far a run is, read from its folder alone; works while the run goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from curate.core.atomic import child_names
from curate.core.layout import PROGRESS_FILE
from curate.core.lease import holder_of
from curate.core.location import StorePath
from curate.core.meters import device_seconds
from curate.core.plan import Node
from curate.core.progress import read_progress
from curate.core.selection import Selection, list_selections
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.core.totals import Totals
from curate.status.state import ENDINGS, State
from curate.status.training import is_training, training_status

#: A run without a commit for so long is called stalled, seconds; or for three times as long as its
#: slowest partition took. Before the first commit, while models load, it has more time.
STALLED_S = 120.0
LOADING_S = 600.0
#: A process that has said nothing for so long is suspended, or its disk hangs, seconds.
SILENT_S = 60.0


class RunFollower:
    """Reads a run's state again and again; of what was committed it reads only what is new."""

    def __init__(self, root: StorePath) -> None:
        """Begin; nothing is read."""
        self._root = root
        self._steps: dict[str, _StepFollower] = {}

    def facts(self) -> dict[str, Any]:
        """Return the state of the run as plain values.

        Raises:
            StoreError: the folder holds no run.
        """
        table = CommittedTable.open(self._root)
        store = table.store
        register = store.register()
        holder, lease = holder_of(self._root)
        said = _said_by(holder, read_progress(self._root))
        added = [one.node for one in table.added]
        every = (*table.nodes, *added)
        aside = {node.folder: store.quarantined(node) for node in every if node.is_leg}
        steps = [self._step(store, node) for node in table.nodes]
        state = _state(lease, said, complete=all(step["complete"] for step in steps))
        expected = register.num_partitions
        for node, step in zip(table.nodes, steps, strict=True):
            expected -= len(aside.get(node.folder, {}))
            step["expected"] = max(expected, step["partitions"])
            rates = (said.get("rates") or {}).get(node.folder) if state == "running" else None
            step.update(rates=rates, left_s=_left_s(step, rates))
        return {
            "kind": "run",
            "run": str(self._root),
            "name": table.facts["name"],
            "state": state,
            "said": (said.get("ended") or {}).get("said", ""),
            "owner": holder if lease == "alive" else None,
            "last_owner": holder or None,
            "rows": register.num_rows,
            "partitions": register.num_partitions,
            "listed": state != "running" or (said.get("pass") or {"total": 0})["total"] is not None,
            "steps": steps,
            "added": [self._step(store, node) for node in added],
            "progress": said or None,
            "stalled": _stalled(said) if state == "running" else None,
            "quarantined": [
                {
                    "partition": number,
                    "leg": facts["leg"],
                    "where": facts["where"],
                    "error": facts["error"],
                }
                for by_number in aside.values()
                for number, facts in by_number.items()
            ],
            "selections": {
                name: {"texts": facts["texts"], "selected": sum(facts["selected"].values())}
                for name, facts in (
                    (name, Selection.open(self._root, name).facts)
                    for name in list_selections(store)
                )
            },
            "trainings": trainings_below(self._root / "pretrain"),
        }

    def _step(self, store: RunStore, node: Node) -> dict[str, Any]:
        follower = self._steps.setdefault(node.folder, _StepFollower(store, node))
        totals, complete = follower.read()
        return {
            "step": "+".join(node.stages),
            "kind": "leg" if node.is_leg else "barrier",
            "complete": complete,
            "device_seconds": device_seconds(totals.notes),
            **totals.to_json(),
        }


class _StepFollower:
    """Totals of one step; a commit is read once."""

    def __init__(self, store: RunStore, node: Node) -> None:
        self._store, self._node = store, node
        self._seen: dict[int, int] = {}
        self._totals = Totals()

    def read(self) -> tuple[Totals, bool]:
        """Return the totals so far, and whether the step is complete."""
        done = Totals.load(self._store.done_file(self._node))
        if done is not None:
            return done, True
        if not self._node.is_leg:
            return Totals(), False
        commits = self._store.commits(self._node)
        if not self._seen.keys() <= commits.keys():  # removed from outside
            self._seen, self._totals = {}, Totals()
        fresh = {number: last for number, last in commits.items() if number not in self._seen}
        for receipt in self._store.each_receipt(self._node, fresh):
            self._totals.add(receipt)
        for number, seen in self._seen.items():
            for revision in range(seen + 1, commits[number] + 1):
                later = self._store.receipt(self._node, number, revision)
                if later is not None:
                    self._totals.add(later)
        self._seen = commits
        return self._totals, False


def run_status(root: StorePath) -> dict[str, Any]:
    """Return the state of a run as plain values.

    Raises:
        StoreError: the folder holds no run.
    """
    return RunFollower(root).facts()


def trainings_below(folder: StorePath) -> list[dict[str, Any]]:
    """Return the states of the trainings that lie in a folder, by name."""
    return [
        training_status(folder / name) for name in child_names(folder) if is_training(folder / name)
    ]


def _said_by(holder: Mapping[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return what the holder of the lease has said; what another said before it is old."""
    same = all(said.get(key) == holder.get(key) for key in ("host", "pid", "started"))
    return said if holder and same else {}


def _state(lease: str, said: Mapping[str, Any], *, complete: bool) -> State:
    ended = said.get("ended")
    if lease == "alive" and not ended:
        return "running"
    if lease == "gone" and not ended:
        return "killed"
    if ended:
        return ENDINGS.get(ended.get("how"), "failed")
    if complete:
        return "finished"
    return "unfinished"


def _left_s(step: Mapping[str, Any], rates: Mapping[str, float] | None) -> float | None:
    """Return how long a leg will take at the rate of the last minute, seconds."""
    missing = step["expected"] - step["partitions"]
    speed = (rates or {}).get("partitions_per_s", 0.0)
    return missing / speed if speed > 0 and missing > 0 else None


def _stalled(said: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a run that lives and does not move, or None."""
    if not said:
        return None
    now = time.time()
    silent = now - said["written"]
    if silent > max(SILENT_S, 5 * said["every_s"]):
        return (
            f"the process lives and has not written {PROGRESS_FILE} for {silent:.0f} s: it is "
            "suspended, or cannot write its folder"
        )
    if said.get("pass") is None:
        return None
    patience = max(STALLED_S, 3 * said["slowest_s"]) if said["committed_at"] else LOADING_S
    idle = now - said["event_at"]
    if idle <= patience:
        return None
    slowest = f"the slowest partition took {said['slowest_s']:.0f} s"
    return f"no commit for {idle:.0f} s ({slowest if said['committed_at'] else 'none so far'})"
