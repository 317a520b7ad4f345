"""Marks: pairs that a person has judged good or bad, kept with the run.

``marks/`` in the run's folder has a file of JSON lines for each sitting, one line a judgement:
``uid``, ``text``, ``good`` (true, false, or null where it was taken back), ``by`` and ``at``. A
later line of a pair counts for more than an earlier one. A sitting's file is written whole each
time, so a kill or a full disk costs the last judgement at most, on a disk as on an object store,
and two people who judge at once never write the same file.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from curate.core.atomic import child_names, damaged, read_bytes, write_whole
from curate.core.location import StorePath
from curate.inspection.score_samples import Pair

FOLDER = "marks"
#: Lines of one file; a sitting that goes on begins another, so that writing stays quick.
_LINES = 500


@dataclass(frozen=True, slots=True)
class Mark:
    """A judgement.

    Attributes:
        uid: of the image's row.
        text: of the pair.
        good: whether the two belong together; None where an earlier mark is taken back.
        by: who judged.
        at: when, UTC, ISO 8601.
    """

    uid: str
    text: str
    good: bool | None
    by: str
    at: str


class Marks:
    """The marks of a run; safe in threads."""

    def __init__(self, root: StorePath, *, by: str) -> None:
        """Read the marks there are.

        Args:
            root: the run's folder.
            by: who judges from now on.

        Raises:
            StoreError: a file of marks is damaged.
        """
        self._folder = root / FOLDER
        self._by = by
        self._lock = threading.Lock()
        self._sitting: list[Mark] = []
        self._file = self._new_file()
        self._undo: list[tuple[Pair, bool | None]] = []
        self._current: dict[Pair, Mark] = {}
        for mark in read_marks(root):
            self._current[mark.uid, mark.text] = mark

    def set(self, uid: str, text: str, good: bool | None) -> None:
        """Mark a pair, or take its mark back with None; saved when this returns.

        Raises:
            StorageFull, StoreError: it cannot be saved; nothing has changed.
        """
        with self._lock:
            before = self._good(uid, text)
            if before is not good:
                self._write(uid, text, good)
                self._undo.append(((uid, text), before))

    def undo(self) -> Pair | None:
        """Take back the last change of this sitting; returns its pair, None where none is left.

        Raises:
            StorageFull, StoreError: it cannot be saved; nothing has changed.
        """
        with self._lock:
            if not self._undo:
                return None
            (uid, text), before = self._undo[-1]
            self._write(uid, text, before)
            self._undo.pop()
            return uid, text

    def good(self, uid: str, text: str) -> bool | None:
        """Return how a pair is marked; None where it is not."""
        with self._lock:
            return self._good(uid, text)

    @property
    def labels(self) -> dict[Pair, bool]:
        """The pairs that are marked, in the order in which they were."""
        with self._lock:
            marks = sorted(self._current.values(), key=lambda mark: mark.at)
        return {(mark.uid, mark.text): mark.good for mark in marks if mark.good is not None}

    def lines(self) -> Iterator[str]:
        """Yield the marks as ``curate calibrate --labels`` reads them, a JSON line each."""
        with self._lock:
            marks = sorted(self._current.values(), key=lambda mark: mark.at)
        for mark in marks:
            if mark.good is not None:
                yield _line(mark)

    def _good(self, uid: str, text: str) -> bool | None:
        mark = self._current.get((uid, text))
        return None if mark is None else mark.good

    def _write(self, uid: str, text: str, good: bool | None) -> None:
        mark = Mark(uid, text, good, self._by, datetime.now(UTC).isoformat())
        if len(self._sitting) == _LINES:
            self._sitting, self._file = [], self._new_file()
        lines = "".join(map(_line, [*self._sitting, mark])).encode()
        write_whole(self._file, lambda file: file.write(lines))
        self._sitting.append(mark)
        self._current[uid, text] = mark

    def _new_file(self) -> StorePath:
        now = datetime.now(UTC)
        return self._folder / f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.jsonl"


def read_marks(root: StorePath) -> list[Mark]:
    """Read all marks of a run, the earliest first, with those that were taken back.

    Raises:
        StoreError: a file is damaged.
    """
    found: list[Mark] = []
    for name in child_names(root / FOLDER):
        if not name.endswith(".jsonl") or name.startswith("."):
            continue
        path = root / FOLDER / name
        try:
            found += [_mark(json.loads(line)) for line in read_bytes(path).splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, error) from error
    return sorted(found, key=lambda mark: mark.at)


def labels_of(root: StorePath) -> dict[Pair, bool]:
    """Return the pairs of a run that are marked good or bad.

    Raises:
        StoreError: a file of marks is damaged.
    """
    latest = {(mark.uid, mark.text): mark.good for mark in read_marks(root)}
    return {pair: good for pair, good in latest.items() if good is not None}


def _mark(entry: Mapping[str, object]) -> Mark:
    uid, text, good = entry["uid"], entry["text"], entry["good"]
    if not isinstance(uid, str) or not isinstance(text, str):
        raise TypeError("uid and text are no strings")
    if good is not None and not isinstance(good, bool):
        raise TypeError(f"good is {good!r}")
    return Mark(uid, text, good, str(entry["by"]), str(entry["at"]))


def _line(mark: Mark) -> str:
    return json.dumps(asdict(mark), ensure_ascii=False) + "\n"
