"""Pictures with their texts, read by number: what a trainer trains on and an evaluator judges by.

A table of images and captions is one such source; a selection of a run is another.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from curate.core.atomic import parquet_source, read_bytes
from curate.core.config import FrozenConfig
from curate.core.errors import SourceError, nearest
from curate.core.location import StorePath, matching, store_path


class TableConfig(FrozenConfig):
    """A table of images and captions.

    Attributes:
        path: Parquet, Arrow or JSONL file, WebDataset shard (``.tar``) or annotations (``.json``,
            Karpathy's or BLIP's), or a pattern of such; relative to the working folder.
        images: folder that paths of pictures are relative to; None: the table's own.
        split: which of Karpathy's splits; ``train`` has COCO's ``restval`` in it.
        image: column of encoded bytes, or of paths.
        captions: column of texts: a string, or a list of strings.
        uid: column that names the picture; None: the image's bytes do.
        sources: column of where each text came from, shaped like ``captions``; None: unknown.
        scores: column of how well each text fits, shaped like ``captions``; None: unknown.
        repeat: how many times an epoch passes over it.
    """

    path: str
    images: str | None = Field(None, min_length=1)
    split: str | None = Field(None, min_length=1)
    image: str = "image"
    captions: str = "captions"
    uid: str | None = None
    sources: str | None = None
    scores: str | None = None
    repeat: int = Field(1, ge=1, le=100)


class Pair(NamedTuple):
    """A picture with its texts.

    Attributes:
        uid: the same for the same picture.
        image: encoded bytes.
        texts: at least one.
        sources: where each text came from (``web``, ``synthetic``, ``human``); empty when unknown.
        scores: how well each text fits, None where it was not judged; empty when unknown.
    """

    uid: str
    image: bytes
    texts: list[str]
    sources: Sequence[str] = ()
    scores: Sequence[float | None] = ()


class PairSource(Protocol):
    """Pictures with texts, read by number. A selection of a run is read through this."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order."""
        ...

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        """Return what ``read`` does, but perhaps without the pictures' bytes."""
        ...

    def texts(self) -> Iterator[str]:
        """Yield every text once, in order, without reading pictures."""
        ...

    def num_texts(self) -> list[int]:
        """Return the number of texts of every picture, without reading pictures."""
        ...

    def best_scores(self) -> list[float | None]:
        """Return every picture's highest score, without reading pictures; None where unknown."""
        ...


class ListSource:
    """Pairs already in memory; pictures without a text are left out."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = [pair for pair in pairs if pair.texts]

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order."""
        return [self.pairs[index] for index in indices]

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        """Return what ``read`` does."""
        return self.read(indices)

    def texts(self) -> Iterator[str]:
        """Yield every text once, in order."""
        for pair in self.pairs:
            yield from pair.texts

    def num_texts(self) -> list[int]:
        """Return the number of texts of every picture."""
        return [len(pair.texts) for pair in self.pairs]

    def best_scores(self) -> list[float | None]:
        """Return every picture's highest score; None where it has none."""
        return [best_score(pair.scores) for pair in self.pairs]


def best_score(scores: Iterable[float | None]) -> float | None:
    """Return the highest of the scores there are."""
    return max((score for score in scores if score is not None), default=None)


class TableSource(ListSource):
    """A table of images and captions: Parquet, Arrow IPC or JSONL.

    Held in memory whole: for tables of up to some hundred thousand pictures.

    Raises:
        SourceError: no file, an unreadable one, or a missing column.
    """

    def __init__(self, config: TableConfig) -> None:
        paths = matching(config.path)
        if not paths:
            raise SourceError(
                f"{config.path}: there is no such file; paths start at the working folder"
            )
        pairs = [pair for path in paths for pair in _read_table(path, config)]
        super().__init__(pairs * config.repeat)


class ConcatSource:
    """Several sources, one after the other."""

    def __init__(self, sources: Sequence[PairSource]) -> None:
        self.sources = list(sources)
        self.starts = [0]
        for source in self.sources:
            self.starts.append(self.starts[-1] + len(source))

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order; each source is asked once."""
        return self._asked(indices, lambda source, numbers: source.read(numbers))

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        """Return what ``read`` does, without the pictures where a source can leave them out."""
        return self._asked(indices, lambda source, numbers: source.read_texts(numbers))

    def _asked(
        self, indices: Sequence[int], ask: Callable[[PairSource, list[int]], list[Pair]]
    ) -> list[Pair]:
        found: dict[int, Pair] = {}
        wanted: dict[int, list[int]] = {}
        for index in indices:
            wanted.setdefault(bisect.bisect_right(self.starts, index) - 1, []).append(index)
        for number, group in wanted.items():
            local = [index - self.starts[number] for index in group]
            found.update(zip(group, ask(self.sources[number], local), strict=True))
        return [found[index] for index in indices]

    def texts(self) -> Iterator[str]:
        """Yield every text of every source."""
        for source in self.sources:
            yield from source.texts()

    def num_texts(self) -> list[int]:
        """Return the number of texts of every picture."""
        return [count for source in self.sources for count in source.num_texts()]

    def best_scores(self) -> list[float | None]:
        """Return every picture's highest score; None where it has none."""
        return [score for source in self.sources for score in source.best_scores()]


def open_tables(tables: Sequence[TableConfig]) -> PairSource:
    """Open tables as one source.

    Raises:
        SourceError: no file, an unreadable one, a missing column, or no pictures with texts.
    """
    source = ConcatSource([_open(table) for table in tables])
    if not len(source):
        raise SourceError(
            f"no picture with a text in {', '.join(t.path for t in tables) or 'no tables'}"
        )
    return source


def _open(table: TableConfig) -> PairSource:
    from curate.core.karpathy_pairs import KarpathySource
    from curate.core.shard_pairs import ShardSource

    by_ending: dict[str, Callable[[TableConfig], PairSource]] = {
        ".tar": ShardSource,
        ".json": KarpathySource,
    }
    return by_ending.get(PurePath(table.path).suffix, TableSource)(table)


def _read_table(path: StorePath, config: TableConfig) -> list[Pair]:
    if config.split is not None:
        raise SourceError(f"{path}: a table has no splits: leave out split {config.split!r}")
    rows = _rows(path, config)
    folder = path.parent if config.images is None else store_path(config.images)
    pairs = []
    for row in rows:
        body = _body(row[config.image], folder)
        texts = [_text(one, path, config) for one in _listed(row[config.captions])]
        beside = [_listed(row[name]) if name else [] for name in (config.sources, config.scores)]
        if any(values and len(values) != len(texts) for values in beside):
            raise SourceError(
                f"{path}: a row has {len(texts)} captions, but not as many sources or scores"
            )
        kept = [place for place, text in enumerate(texts) if text]
        sources, scores = (tuple(values[place] for place in kept if values) for values in beside)
        uid = str(row[config.uid]) if config.uid else hashlib.sha256(body).hexdigest()
        pairs.append(Pair(uid, body, [texts[place] for place in kept], sources, scores))
    return pairs


def _listed(value: Any) -> list[Any]:
    """Return a cell as a list: several texts, one, or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: Any, path: StorePath, config: TableConfig) -> str:
    """Return a text without space around it; the number of a class is one, too."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise SourceError(f"{path}: the column {config.captions!r} holds {value!r}, which is no text")


def _rows(path: StorePath, config: TableConfig) -> list[dict[str, Any]]:
    further = (config.uid, config.sources, config.scores)
    columns = [config.image, config.captions, *(name for name in further if name)]
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            lines = read_bytes(path).decode("utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            names = set(rows[0]) if rows else set(columns)
        else:
            table = _arrow_table(path)
            names = set(table.column_names)
            rows = []
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{path} cannot be read as a table: {error}") from error
    for column in columns:
        if column not in names:
            raise SourceError(f"{path} has no column {column!r}: {nearest(column, names)}")
    return rows or (
        table.select(columns).to_pylist() if path.suffix not in (".jsonl", ".ndjson") else []
    )


def _arrow_table(path: StorePath) -> pa.Table:
    if path.suffix in (".arrow", ".feather"):
        if isinstance(path, Path):
            with pa.memory_map(str(path)) as file:
                return pa.ipc.open_file(file).read_all()
        return pa.ipc.open_file(read_bytes(path)).read_all()
    with parquet_source(path) as source:
        return pq.read_table(source)


def _body(value: bytes | str | None, folder: StorePath) -> bytes:
    if isinstance(value, str):
        try:
            return read_bytes(folder / value)
        except OSError as error:
            raise SourceError(f"{folder / value} cannot be read: {error.strerror}") from error
    return value or b""
