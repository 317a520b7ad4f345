"""Partitions: the unit of work, retry, commit and progress, and the register that numbers them.

A partition is a row range of one source file. Numbers are given in the order in which files were
first seen and never change: a list that grows adds numbers at the end, and old work stays valid.
The register is one line a file, so a billion rows in ten thousand files cost a few megabytes, in
small files of a hundred lines: each is written whole, which needs no appending, and ten thousand
files are a hundred to read.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from curate.core.atomic import child_names, read_many, write_whole
from curate.core.errors import OtherRun, SourceError, StoreError
from curate.core.failpoints import reach
from curate.core.location import StorePath
from curate.core.stage import Source, SourceFile

#: Files of a source in one file of the register.
_FILES_A_PART = 100


@dataclass(frozen=True, slots=True)
class Partition:
    """A row range of one source file.

    Attributes:
        number: identity within the run, from 0.
        file: the source file.
        start: first row in the file.
        stop: one past the last row.
    """

    number: int
    file: SourceFile
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows the list has here, good or bad."""
        return self.stop - self.start

    @property
    def name(self) -> str:
        """Stem of the partition's files."""
        return part_name(self.number)

    def __str__(self) -> str:
        """Return what a person can look up: number, file and rows."""
        return f"partition {self.number} ({self.file.name}, rows {self.start} to {self.stop - 1})"


def part_name(number: int, revision: int = 0) -> str:
    """Return ``000042/part-00042317``, a thousand partitions a folder; ``.r1`` a supplement's."""
    supplement = f".r{revision}" if revision else ""
    return f"{number // 1000:06d}/part-{number:08d}{supplement}"


def part_number(path: StorePath) -> tuple[int, int]:
    """Return partition and revision of a file named by :func:`part_name`."""
    number, _, revision = path.stem.removeprefix("part-").partition(".r")
    return int(number), int(revision or 0)


@dataclass(frozen=True, slots=True)
class _Entry:
    first: int
    partition_rows: int
    file: SourceFile

    @property
    def count(self) -> int:
        return -(-self.file.rows // self.partition_rows)


class Register:
    """The files of a run and the numbers of their partitions, kept in ``source/files/``."""

    def __init__(self, folder: StorePath) -> None:
        """Read what was registered.

        Raises:
            StoreError: the register is damaged.
        """
        self._folder = folder
        self._entries: list[_Entry] = []
        self._complete = False
        self._load()

    def _load(self) -> None:
        found = [name for name in child_names(self._folder) if not name.startswith(".")]
        for index, data in enumerate(read_many([self._folder / name for name in found])):
            if data is None or found[index] != self._part(index).name:
                raise _damaged(self._part(index), "it is gone and later ones are there")
            for number, line in enumerate(data.splitlines(), start=1):
                try:
                    entry = json.loads(line)
                    file_ = SourceFile(entry["name"], entry["rows"], entry["digest"], "")
                    self._entries.append(_Entry(entry["first"], entry["partition_rows"], file_))
                except (ValueError, KeyError, TypeError) as error:
                    raise _damaged(self._part(index), f"line {number}") from error

    def _part(self, index: int) -> StorePath:
        return self._folder / f"{index:06d}.jsonl"

    @property
    def known(self) -> dict[str, SourceFile]:
        """Registered files by name."""
        return {entry.file.name: entry.file for entry in self._entries}

    @property
    def num_partitions(self) -> int:
        """Partitions registered so far."""
        return self._entries[-1].first + self._entries[-1].count if self._entries else 0

    @property
    def num_rows(self) -> int:
        """Rows registered so far."""
        return sum(entry.file.rows for entry in self._entries)

    @property
    def complete(self) -> bool:
        """Whether the source was listed to its end by this process."""
        return self._complete

    def listed(self, source: Source, spool: StorePath, partition_rows: int) -> Iterator[Partition]:
        """List the source, register what is new, and yield every partition as soon as it is known.

        A source yields the files it knows first, so that another list is found out before
        anything of it is registered.

        Raises:
            SourceError: a registered file changed.
            OtherRun: a registered file is gone from the source: another list, or files moved away.
        """
        entries = {entry.file.name: index for index, entry in enumerate(self._entries)}
        awaited = dict.fromkeys(entries)
        for file in source.files(spool, self.known):
            if file.name not in entries:
                _check_none_gone(awaited)
                entries[file.name] = len(self._entries)
                self._append(_Entry(self.num_partitions, partition_rows, file))
            else:
                awaited.pop(file.name, None)
                self._refresh(entries[file.name], file)
            yield from self._partitions(self._entries[entries[file.name]])
        _check_none_gone(awaited)
        self._complete = True

    def _refresh(self, index: int, file: SourceFile) -> None:
        entry = self._entries[index]
        if (entry.file.digest, entry.file.rows) != (file.digest, file.rows):
            raise SourceError(
                f"{file.name!r} changed since this run began ({entry.file.rows} rows then, "
                f"{file.rows} now): put the old file back, or give the new list another output "
                "folder; new files beside the old ones are welcome at any time"
            )
        self._entries[index] = replace(entry, file=file)

    def _append(self, entry: _Entry) -> None:
        """Register a file: the register's last part is written anew with it."""
        part = len(self._entries) // _FILES_A_PART
        entries = [*self._entries[part * _FILES_A_PART :], entry]
        lines = b"".join(_line(one) for one in entries)
        write_whole(self._part(part), lambda out: out.write(lines))
        reach("register.written")
        self._entries.append(entry)

    @staticmethod
    def _partitions(entry: _Entry) -> Iterator[Partition]:
        for index in range(entry.count):
            start = index * entry.partition_rows
            stop = min(start + entry.partition_rows, entry.file.rows)
            yield Partition(entry.first + index, entry.file, start, stop)

    def partitions(self) -> Iterator[Partition]:
        """Yield every registered partition, in order of numbers."""
        for entry in sorted(self._entries, key=lambda entry: entry.first):
            yield from self._partitions(entry)

    def partition(self, number: int) -> Partition:
        """Return one partition.

        Raises:
            KeyError: no such number.
        """
        index = bisect.bisect_right(self._entries, number, key=lambda entry: entry.first) - 1
        # files without rows share their first number with the next one
        if index >= 0:
            entry = self._entries[index]
            if number < entry.first + entry.count:
                start = (number - entry.first) * entry.partition_rows
                stop = min(start + entry.partition_rows, entry.file.rows)
                return Partition(number, entry.file, start, stop)
        raise KeyError(f"no partition {number}: there are {self.num_partitions}")


def _damaged(path: StorePath, what: str) -> StoreError:
    return StoreError(f"{path} is damaged ({what}): restore the file")


def _line(entry: _Entry) -> bytes:
    line = {
        "first": entry.first,
        "partition_rows": entry.partition_rows,
        "name": entry.file.name,
        "rows": entry.file.rows,
        "digest": entry.file.digest,
    }
    return json.dumps(line).encode() + b"\n"


def _check_none_gone(awaited: Mapping[str, None]) -> None:
    if awaited:
        raise OtherRun(
            f"{len(awaited)} file(s) this run was made from are not in its source any more "
            f"(first: {next(iter(awaited))!r}): give another list another output folder, "
            "or put them back"
        )
