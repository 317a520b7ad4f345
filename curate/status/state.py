"""What has become of a process that worked in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from curate.core.progress import tells_still

#: ``unfinished``: nobody works on it, and nothing says why.
State = Literal["running", "finished", "stopped", "failed", "killed", "unfinished"]

#: By what ``progress.json`` says of the end.
ENDINGS: dict[str, State] = {"done": "finished", "stopped": "stopped", "failed": "failed"}


def state_of(said: Mapping[str, Any], *, finished: bool) -> State:
    """Return a state from what was said last; of a folder without a lease.

    Args:
        said: the folder's ``progress.json``; empty where there is none.
        finished: whether the result is there.
    """
    if tells_still(said):
        return "running"
    if finished:
        return "finished"
    if not said:
        return "unfinished"
    ended = said.get("ended")
    return ENDINGS.get(ended.get("how"), "failed") if ended else "killed"


def exit_code(facts: Mapping[str, Any]) -> int:
    """Return what 'curate status --watch' ends with: as 'curate run' for what has ended.

    0 for a finished one, 3 where partitions were set aside, else 2.
    """
    if facts["state"] != "finished":
        return 2
    return 3 if facts.get("quarantined") else 0
