"""Proves that a run holds nothing of forgotten rows: every file of its folder is looked into.

Parquet, Arrow and Lance files are decoded, for compression hides what they hold; of all others, and
of those as well, every byte is searched.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.core.atomic import child_names, parquet_source, read_bytes
from curate.core.location import StorePath
from curate.core.tombstones import FOLDER, INTENT_FILE, REASON
from curate.forgetting.receipts import relative, touches
from curate.sources._columns import is_list
from curate.sources._tables import arrow_reader

#: The practice web of the quickstart stands for the web: it is not the run's.
_NOT_OURS = ("loopback",)
_LETTERS = string.ascii_letters.encode()
#: Values of a kind that are searched for byte by byte; all of them are looked for row by row.
_MOST = 1000
#: Texts this long are searched for byte by byte; shorter ones stand inside others by chance.
LONG = 16
#: What stands behind an address that goes on.
_GOES_ON = frozenset(bytes([one]) for one in b"0123456789%/?=_~+#-" + _LETTERS)


class Proof:
    """What was searched, for what, and where something was left.

    Attributes:
        files: searched.
        decoded: of them, decoded row by row.
        bytes: read.
        left: files that still hold something, each with what (a kind, never the content).
        not_searched: folders that are not the run's.
        words: how many of each kind were searched for.
    """

    def __init__(self, root: StorePath, gone: Mapping[int, set[int]], words: Any) -> None:
        """Keep what is needed.

        Args:
            root: the run's folder.
            gone: forgotten rows, by partition.
            words: their values by kind: uid, url, path, texts; ``image``: bytes, hex.
        """
        self._root = root
        self._gone = gone
        self.files = self.decoded = self.bytes = 0
        self.left: dict[str, str] = {}
        self.not_searched: list[str] = []
        self._words: dict[str, list[str]] = {kind: sorted(words[kind]) for kind in words}
        self._shared: set[str | bytes] = set()
        self._elsewhere: list[tuple[StorePath, str]] = []
        self.words = {kind: len(values) for kind, values in self._words.items()}

    def search(self) -> Proof:
        """Search every file below the run's folder; returns itself."""
        files = sorted(self._walk(), key=lambda path: not self._is_part(path))
        for path in files:
            if path.suffix in _DECODED:
                self._decode(path, _DECODED[path.suffix])
        for folder in dict.fromkeys(p.parent.parent for p in files if p.parent.name == "_versions"):
            self._decode_lance(folder)
        for path, text in self._elsewhere:
            if text not in self._shared:
                self._leave(path, "a forgotten text")
        needles = self._needles()
        for path in files:
            self.files += 1
            there = self._search(path, needles)
            if path.suffix == ".parquet":  # words of it were decoded: bytes of them mean nothing
                there = [one for one in there if one[0] == "image"]
            for kind, needle in there:
                if kind == "image" and (needle in self._shared or self._is_part(path)):
                    self._shared.add(needle)  # another row has the same picture
                else:
                    self._leave(path, f"bytes of a forgotten {kind}")
        return self

    def _is_part(self, path: StorePath) -> bool:
        """Whether a file holds rows by their keys, which are looked at one by one."""
        top = relative(self._root, path).partition("/")[0]
        return path.suffix == ".parquet" and top in ("passes", "added")

    def to_json(self) -> dict[str, Any]:
        """Return plain values, none of which is content of a row."""
        return {
            "files_searched": self.files,
            "files_decoded": self.decoded,
            "bytes_read": self.bytes,
            "searched_for": {**self.words, "shared_with_other_rows": len(self._shared)},
            "not_searched": self.not_searched,
            "left": self.left,
        }

    # -- files ---------------------------------------------------------------------------------

    def _walk(self) -> Iterator[StorePath]:
        for name in child_names(self._root):
            if name in _NOT_OURS:
                self.not_searched.append(name)
                continue
            yield from _files(self._root / name)

    def _leave(self, path: StorePath, what: str) -> None:
        self.left.setdefault(relative(self._root, path), what)

    # -- rows ----------------------------------------------------------------------------------

    def _decode(self, path: StorePath, batches: _Batches) -> None:
        try:
            for batch in batches(path):
                self._look(path, pa.Table.from_batches([batch]))
        except (OSError, pa.ArrowException):  # nobody can say what it holds
            self._leave(path, "no table that can be read")
        else:
            self.decoded += 1

    def _decode_lance(self, folder: StorePath) -> None:
        import lance

        from curate.core.lance_storage import lance_address

        address, options = lance_address(folder)
        opened = partial(lance.dataset, address, storage_options=options or None)
        for version in opened().versions():
            dataset = opened(version=version["version"])
            for batch in dataset.to_batches(columns=_light(dataset.schema)):
                self._look(folder, pa.Table.from_batches([batch]))
        self.decoded += 1

    def _look(self, path: StorePath, table: pa.Table) -> None:
        """Look for forgotten keys, and for values of forgotten rows in any column of words."""
        if {"partition", "row"} <= set(table.column_names):
            here = self._forgotten(table)
            if "reason" in table.column_names and "stage" in table.column_names:
                here &= ~np.asarray(pc.fill_null(pc.equal(table["reason"], REASON), False))
            if here.any():
                self._leave(path, "a forgotten row")
        for field in table.schema:
            column = _strings(table[field.name])
            if column is not None:
                self._values(path, column, texts=field.name in ("texts", "text"))

    def _values(self, path: StorePath, column: pa.ChunkedArray, *, texts: bool) -> None:
        for kind in ("uid", "url", "path"):
            if pc.any(pc.is_in(column, pa.array(self._words[kind], pa.string()))).as_py():
                self._leave(path, f"a forgotten {kind}")
        if texts:
            self._texts(path, column)

    def _texts(self, path: StorePath, column: pa.ChunkedArray) -> None:
        wanted = pa.array(self._words["texts"], pa.string())
        same = pc.unique(column.filter(pc.is_in(column, wanted))).to_pylist()
        if not self._is_part(path):
            self._elsewhere += [(path, text) for text in same]
            return
        self._shared.update(same)
        for text in self._long_texts():
            inside = pc.match_substring(column, text)
            if pc.any(pc.fill_null(inside, False)).as_py():
                self._shared.add(text)

    def _long_texts(self) -> list[str]:
        texts = self._words["texts"]
        return [text for text in texts if len(text) >= LONG and text not in self._shared][:_MOST]

    def _forgotten(self, table: pa.Table) -> np.ndarray:
        mask = np.zeros(table.num_rows, bool)
        partitions = table["partition"].to_numpy()
        for number in np.unique(partitions):
            rows = self._gone.get(int(number))
            if rows:
                mask |= (partitions == number) & touches(table, rows)
        return mask

    # -- bytes ---------------------------------------------------------------------------------

    def _needles(self) -> list[tuple[str, bytes]]:
        """Return what is searched byte by byte, also as JSON and HTML write it."""
        found: dict[bytes, str] = {}
        for kind in ("uid", "url", "path"):
            for value in self._words[kind][:_MOST]:
                for form in _forms(value):
                    found[form] = kind
        for text in self._long_texts():
            for form in _forms(text):
                found[form] = "text"
        for piece in self._words["image"][:_MOST]:
            found[bytes.fromhex(piece)] = "image"
        return [(kind, needle) for needle, kind in found.items()]

    def _search(
        self, path: StorePath, needles: Sequence[tuple[str, bytes]]
    ) -> list[tuple[str, bytes]]:
        with _opened(path) as data:
            self.bytes += len(data)
            return [one for one in needles if _holds(data, *one)]


@contextlib.contextmanager
def _opened(path: StorePath) -> Iterator[bytes | mmap.mmap]:
    """Give a file's bytes, mapped where it lies on a disk."""
    if not isinstance(path, Path):
        yield read_bytes(path)
    elif path.stat().st_size == 0:
        yield b""
    else:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _light(schema: pa.Schema) -> list[str]:
    """Return the columns without pictures."""
    heavy = (pa.binary(), pa.large_binary())
    return [field.name for field in schema if field.type not in heavy]


def _parquet_batches(path: StorePath) -> Iterator[pa.RecordBatch]:
    with parquet_source(path) as source, pq.ParquetFile(source) as file:
        yield from file.iter_batches(columns=_light(file.schema_arrow), batch_size=8192)


def _arrow_batches(path: StorePath) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file:
        reader = arrow_reader(file)
        if isinstance(reader, pa.ipc.RecordBatchFileReader):
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from reader


_Batches = Callable[[StorePath], Iterator[pa.RecordBatch]]
_DECODED: dict[str, _Batches] = {".parquet": _parquet_batches, ".arrow": _arrow_batches}


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return a column's strings, those of lists one after the other; None where it has none."""
    if is_list(column.type):
        column = pc.list_flatten(column)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = str(column.type)
    return column.cast(pa.string()) if kind in ("string", "large_string", "string_view") else None


def _holds(data: bytes | mmap.mmap, kind: str, needle: bytes) -> bool:
    """Whether bytes hold a value; an address or path inside of a longer one is another's."""
    start = data.find(needle)
    while start >= 0:
        end = start + len(needle)
        longer = kind in ("url", "path") and data[end : end + 1] in _GOES_ON
        longer |= kind == "path" and start > 0 and data[start - 1 : start] in _GOES_ON
        if not longer or end == len(data):
            return True
        start = data.find(needle, start + 1)
    return False


def _forms(value: str) -> set[bytes]:
    return {
        value.encode("utf-8", "replace"),
        json.dumps(value)[1:-1].encode(),
        json.dumps(value, ensure_ascii=False)[1:-1].encode("utf-8", "replace"),
        escape(value).encode("utf-8", "replace"),
    }


def _files(path: StorePath) -> Iterator[StorePath]:
    if not path.is_dir():
        if not (path.name == INTENT_FILE and path.parent.name == FOLDER):
            yield path
        return
    for name in child_names(path):
        yield from _files(path / name)
