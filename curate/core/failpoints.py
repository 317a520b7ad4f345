"""Named places at which a process can be made to die, so that a kill there can be tested.

``CURATE_FAILPOINT=lance.appended:2`` kills the process (SIGKILL, nothing is cleaned up) when it
comes to that place for the second time, ``file.renamed@commits:2`` when it does so with a file that
is called or lies in ``commits``; ``CURATE_FAILPOINT_TRACE=FILE`` writes a line for every place it
comes to. Without these variables a place costs a call and does nothing.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from curate.core.location import StorePath

VARIABLE = "CURATE_FAILPOINT"
TRACE_VARIABLE = "CURATE_FAILPOINT_TRACE"

#: Every place, and what a process that dies there has just done.
POINTS = {
    "file.begun": "made an empty file under a temporary name",
    "file.written": "written it, not flushed it to disk",
    "file.flushed": "flushed it, not renamed it",
    "file.renamed": "renamed it, not flushed its folder",
    "object.written": "written the file of an object, not put it",
    "object.put": "put it",
    "lease.taken": "taken the lease",
    "register.written": "registered a source file, not yielded its partitions",
    "commit.part": "written the part of a commit, not its ledger entries",
    "commit.beside": "written or removed the ledger entries or the canaries of a commit",
    "commit.flushed": "flushed all files of a commit, not made it",
    "commit.done": "committed, not answered",
    "barrier.open": "taken back that a barrier is resolved",
    "barrier.forgotten": "removed the verdicts that a killed attempt left",
    "barrier.verdict": "written the verdicts on one partition",
    "barrier.resolved": "written all verdicts, not which partitions they are on",
    "barrier.judged": "written which partitions are judged, not cleaned up",
    "selection.decided": "written all decisions, not what the selection is",
    "selection.moved": "given an earlier selection of the name another one",
    "selection.placed": "given a selection its name",
    "added.scored": "scored every partition for an added scorer, not added it to the run",
    "added.placed": "added it",
    "forget.intended": "written which rows are to be forgotten, and nothing else",
    "forget.buried": "written the tombstones of forgotten rows",
    "forget.away": "removed what is made again without forgotten rows",
    "forget.step": "taken forgotten rows out of one step's files",
    "forget.commit": "written one commit without forgotten rows",
    "forget.selected": "taken forgotten rows out of the selections",
    "forget.viewed": "made the view again without forgotten rows",
    "forget.exported": "made an export again without forgotten rows",
    "forget.proved": "proved that nothing of forgotten rows is left, not said so",
    "forget.done": "forgotten rows",
    "export.cleared": "removed the unfinished export of another selection",
    "export.left": "written one shard anew without rows that have left the table",
    "export.shards": "written all shards of an export, not its manifest",
    "export.manifest": "written the manifest, not cleaned up",
    "lance.dropped": "dropped the view of another table",
    "lance.created": "created the view, not said of which table",
    "lance.exchanged": "exchanged the columns of added scorers, not said so",
    "lance.appending": "gathered the rows of an append",
    "lance.appended": "appended",
    "lance.optimizing": "appended everything",
    "lance.optimized": "optimized the view",
}


@dataclass
class _Wanted:
    """What the environment asks for."""

    name: str | None
    word: str
    left: int
    trace: Path | None


def reach(name: str, of: StorePath | None = None) -> None:
    """Come to a place: die there if that was asked for.

    Args:
        name: one of ``POINTS``.
        of: the file it is about.
    """
    wanted = _wanted()
    if wanted.trace is not None:
        with wanted.trace.open("a", encoding="utf-8") as file:
            file.write(f"{name}\t{of or ''}\n")
    if name == wanted.name and (not wanted.word or (of and wanted.word in of.parts)):
        wanted.left -= 1
        if wanted.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@cache
def _wanted() -> _Wanted:
    """Read the environment, once.

    Raises:
        ValueError: there is no such place.
    """
    trace = os.environ.get(TRACE_VARIABLE)
    place, _, ordinal = os.environ.get(VARIABLE, "").partition(":")
    name, _, word = place.partition("@")
    if name and name not in POINTS:
        raise ValueError(f"{VARIABLE}={name!r}: no such place; there are {', '.join(POINTS)}")
    return _Wanted(name or None, word, int(ordinal or 1), Path(trace) if trace else None)
