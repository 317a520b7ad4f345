"""Reads shards back with the trainer's own loader and finds the first fault.

The loader runs in an interpreter of its own, this one or another, so that libraries which cannot
live beside ours are used all the same, and one that dies or hangs on a shard is only a fault.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.core.checksums import file_facts
from curate.core.errors import SourceError, nearest
from curate.images import ImageFault, decode
from curate.readback.formats import Shards, find_shards, pictures_digest, samples_of_tar
from curate.readback.process import Began, LoaderFault, Seen, read_back

#: Samples waiting to be judged, a thread.
_AHEAD = 8
#: Loaders of each format; the first is taken where none is named.
LOADERS = {
    "webdataset": ("webdataset", "open_clip"),
    "parquet": ("pyarrow",),
    "hf_datasets": ("datasets",),
    "mds": ("streaming",),
    "lance": ("lance",),
    "blip_json": ("pillow",),
    "llava_json": ("pillow",),
    "datacomp_uids": ("numpy",),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong.

    Attributes:
        shard: file, relative to the folder.
        sample: number in the shard, from 0; None where it concerns the shard.
        key: the sample's key, where it has one.
        problem: what is wrong.
    """

    shard: str
    sample: int | None
    key: str | None
    problem: str

    def __str__(self) -> str:
        """Return ``shard, sample 3 (key): problem``."""
        sample = "" if self.sample is None else f", sample {self.sample}"
        key = "" if self.key is None else f" ({self.key})"
        return f"{self.shard}{sample}{key}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        folder: where the shards are.
        kind: format of the shards.
        loader: library that read them, with its version; empty where it was not started.
        shards: shards read to their end.
        samples: samples read.
        checksums: whether a manifest said what to expect.
        fault: the first fault, or None.
    """

    folder: str
    kind: str
    loader: str
    shards: int
    samples: int
    checksums: bool
    fault: Fault | None

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"valid": self.fault is None, **asdict(self)}

    def __str__(self) -> str:
        """Return what a person reads."""
        if self.fault is not None:
            return f"not valid: {self.fault}"
        checked = "checksums agree with the manifest" if self.checksums else "there is no manifest"
        return (
            f"valid: {self.samples:,} samples in {self.shards:,} {self.kind} shard(s), "
            f"read by {self.loader}; {checked}"
        )


def validate(
    path: Path,
    *,
    loader: str | None = None,
    python: Path | None = None,
    timeout_s: float = 120.0,
    threads: int = 4,
) -> Verdict:
    """Read every sample back and stop at the first fault.

    Checked are, against the manifest where there is one, each shard's size, SHA-256 and number of
    samples; and that every text says something and every picture decodes.

    Args:
        path: folder of an export or of somebody else's shards, or one shard.
        loader: which library reads; the format's own by default.
        python: interpreter that has the library; this one by default.
        timeout_s: seconds without a sample after which a loader counts as hanging.
        threads: pictures decoded at the same time.

    Raises:
        SourceError: no shards of a known format, or no such loader for them.
        EngineError: the interpreter cannot be started, or lacks the library.
    """
    shards = find_shards(path)
    name = _loader(shards.kind, loader)
    told = {str(entry["file"]): entry for entry in shards.entries}
    check = _Check(shards, told)
    fault = check.files()
    library = ""
    if fault is None:
        reading = read_back(name, shards.folder, shards.files, python=python, timeout_s=timeout_s)
        library = next(reading).library
        fault = check.samples(_judged(reading, threads))
    folder, whole, count = str(shards.folder), check.whole, check.count
    return Verdict(folder, shards.kind, library, whole, count, bool(told), fault)


def _loader(kind: str, named: str | None) -> str:
    if kind not in LOADERS:
        raise SourceError(
            f"no loader is known for shards of kind {kind!r}: {nearest(kind, LOADERS)}"
        )
    if named is not None and named not in LOADERS[kind]:
        raise SourceError(f"no loader {named!r} reads {kind}: {nearest(named, LOADERS[kind])}")
    return named or LOADERS[kind][0]


def _judged(
    reading: Iterator[Began | Seen], threads: int
) -> Iterator[tuple[Began | Seen, str | None]]:
    """Yield what is read, in order, with what is wrong with it; pictures are decoded ahead.

    Raises:
        LoaderFault: the loader's, behind all that it gave.
    """
    ended: LoaderFault | None = None
    waiting: deque[tuple[Began | Seen, Future[str | None] | None]] = deque()
    with ThreadPoolExecutor(threads, "curate-decode") as pool:
        try:
            for one in reading:
                problem = pool.submit(_sample_problem, one) if isinstance(one, Seen) else None
                waiting.append((one, problem))
                if len(waiting) > _AHEAD * threads:
                    yield _taken(waiting)
        except LoaderFault as error:
            ended = error
        while waiting:
            yield _taken(waiting)
    if ended is not None:
        raise ended


def _taken(
    waiting: deque[tuple[Began | Seen, Future[str | None] | None]],
) -> tuple[Began | Seen, str | None]:
    one, problem = waiting.popleft()
    return one, None if problem is None else problem.result()


class _Check:
    """Compares what is there with the manifest, shard by shard."""

    def __init__(self, shards: Shards, told: Mapping[str, Mapping[str, Any]]) -> None:
        self._shards = shards
        self._told = told
        self.count = 0
        self.whole = 0

    def files(self) -> Fault | None:
        """Return the first shard that is gone or has other bytes than the manifest says."""
        for name in self._shards.files:
            problem = _file_problem(self._shards.folder, name, self._told.get(name, {}))
            if problem is not None:
                return Fault(name, None, None, problem)
        return None

    def samples(self, reading: Iterator[tuple[Began | Seen, str | None]]) -> Fault | None:
        """Return the first sample that is wrong, or shard with too few or too many."""
        shard = self._shards.files[0] if self._shards.files else ""
        seen: list[Seen] = []
        begun: set[str] = set()
        try:
            for one, problem in reading:
                if isinstance(one, Began):
                    fault = self._end_of(shard, seen) if begun else None
                    if fault is not None:
                        return fault
                    shard, seen = one.shard, []
                    begun.add(shard)
                    continue
                if problem is not None:
                    return Fault(shard, len(seen), one.key, problem)
                seen.append(one.without_picture())
                self.count += 1
        except LoaderFault as error:
            return Fault(shard, len(seen), None, f"the loader {error}")
        fault = self._end_of(shard, seen) if begun else None
        unread = [name for name in self._shards.files if name not in begun]
        if fault is None and unread:
            return Fault(unread[0], None, None, "the loader did not read it")
        return fault

    def _end_of(self, name: str, seen: list[Seen]) -> Fault | None:
        due = self._told.get(name, {}).get("samples")
        there: list[tuple[str, str | None]] | None = None
        if self._shards.kind == "webdataset":
            there = samples_of_tar(self._shards.folder / name)
            due = len(there) if due is None else due
        if due is not None and due != len(seen):
            number, key = _first_missing(there, seen)
            problem = f"{due} samples are due, the loader gave {len(seen)}"
            return Fault(name, number, key, problem)
        self.whole += 1
        return None


def _file_problem(folder: Path, name: str, entry: Mapping[str, Any]) -> str | None:
    path = folder / name
    if not path.is_file():
        return "the file is missing"
    if not entry:
        return None
    facts = file_facts(path)
    if facts["bytes"] != entry["bytes"]:
        return f"{facts['bytes']} bytes, {entry['bytes']} are due"
    if facts["sha256"] != entry["sha256"]:
        return f"SHA-256 {facts['sha256']}, {entry['sha256']} is due"
    pictures = entry.get("pictures")
    if pictures is not None and pictures_digest(folder / pictures["folder"]) != pictures["sha256"]:
        return f"the pictures in {pictures['folder']} are not those of the manifest"
    return None


def _sample_problem(seen: Seen) -> str | None:
    if seen.text is None:
        return "it has no text"
    if not seen.text.strip():
        return "its text is empty"
    if seen.picture is None:
        return None
    try:
        decode(seen.picture)
    except ImageFault as fault:
        return f"its picture is no good: {fault.reason} {fault.detail or ''}".rstrip()
    return None


def _first_missing(
    there: list[tuple[str, str | None]] | None, seen: list[Seen]
) -> tuple[int | None, str | None]:
    """Return number and key of the first sample in the shard that the loader did not give."""
    if there is None:
        return None, None
    by_key = all(one.key is not None for one in seen)
    left = Counter((one.key if by_key else one.text) for one in seen)
    for number, (key, text) in enumerate(there):
        label = key if by_key else text
        if not left[label]:
            return number, key
        left[label] -= 1
    return None, None
