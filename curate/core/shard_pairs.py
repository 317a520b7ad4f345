"""WebDataset shards as pairs: pictures read out of tars by number, wherever they lie.

The tars' headers and texts are read once, pictures when they are asked for. So an epoch shuffles
all shards together, a training goes on at any place of it, and two workers that take different
numbers never see the same sample.
"""

from __future__ import annotations

import glob
import itertools
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from curate.core.errors import SourceError
from curate.core.pairs import Pair, TableConfig, best_score

_PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "img"})
_OPEN_SHARDS = 32


class _Entry(NamedTuple):
    """A sample: where its picture lies, and what is said of it."""

    shard: int
    offset: int
    size: int
    uid: str
    texts: list[str]
    sources: tuple[str, ...]
    scores: tuple[float | None, ...]


class ShardSource:
    """The samples of tar shards with a picture and a text, in order; a ``PairSource``.

    A sample is what shares a name up to its first dot: a picture, ``txt``, ``json``. Texts are
    those of the JSON (``texts``, as ``curate export`` writes them), else ``txt``.

    Raises:
        SourceError: no shard, an unreadable one, or options that tars have no use for.
    """

    def __init__(self, config: TableConfig) -> None:
        """Index the shards.

        Args:
            config: ``path`` names the tars; ``scores`` the number in a text's JSON that says how
                well it fits. Columns are a table's.
        """
        idle = {"image", "images", "split", "captions", "uid", "sources"} & config.model_fields_set
        if idle:
            raise SourceError(
                f"{config.path}: tars have neither columns nor splits: leave out "
                f"{', '.join(sorted(idle))}"
            )
        self.paths = sorted(Path(path) for path in glob.glob(config.path, recursive=True))  # noqa: PTH207 - takes whole patterns
        if not self.paths:
            raise SourceError(
                f"{config.path}: there is no such file; paths start at the working folder"
            )
        found = [
            entry
            for number, path in enumerate(self.paths)
            for entry in _index(number, path, config.scores)
        ]
        self._entries = found * config.repeat
        self._open: dict[int, IO[bytes]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, indices: Sequence[int]) -> list[Pair]:
        """Return the pictures of these numbers, in this order; each shard is read front to back.

        Raises:
            SourceError: a shard was cut off or taken away since it was indexed.
        """
        entries = [self._entries[index] for index in indices]
        bodies: dict[tuple[int, int], bytes] = {}
        for shard, offset, size in sorted({entry[:3] for entry in entries}):
            bodies[shard, offset] = self._body(shard, offset, size)
        return [
            Pair(one.uid, bodies[one.shard, one.offset], one.texts, one.sources, one.scores)
            for one in entries
        ]

    def read_texts(self, indices: Sequence[int]) -> list[Pair]:
        """Return what ``read`` does, without the pictures; no shard is read."""
        entries = [self._entries[index] for index in indices]
        return [Pair(one.uid, b"", one.texts, one.sources, one.scores) for one in entries]

    def texts(self) -> Iterator[str]:
        """Yield every text once, in order."""
        for entry in self._entries:
            yield from entry.texts

    def num_texts(self) -> list[int]:
        """Return the number of texts of every sample."""
        return [len(entry.texts) for entry in self._entries]

    def best_scores(self) -> list[float | None]:
        """Return every sample's highest score; None where it has none."""
        return [best_score(entry.scores) for entry in self._entries]

    def _body(self, shard: int, offset: int, size: int) -> bytes:
        try:
            if shard not in self._open:
                if len(self._open) >= _OPEN_SHARDS:
                    self._open.pop(next(iter(self._open))).close()
                self._open[shard] = self.paths[shard].open("rb")
            file = self._open[shard]
            file.seek(offset)
            body = file.read(size)
        except OSError as error:
            raise SourceError(f"{self.paths[shard]} cannot be read: {error.strerror}") from error
        if len(body) < size:
            raise SourceError(f"{self.paths[shard]} was cut off since the training began")
        return body

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind: a copy opens its own."""
        return {**self.__dict__, "_open": {}}

    def __del__(self) -> None:
        for file in getattr(self, "_open", {}).values():
            file.close()


def _index(number: int, path: Path, score: str | None) -> Iterator[_Entry]:
    """Yield a shard's samples; those without a picture or a text are left out."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            files = (member for member in tar if member.isfile())
            for key, members in itertools.groupby(files, key=lambda one: _key(one.name)):
                entry = _entry(number, key, list(members), tar, score)
                if entry is not None:
                    yield entry
    except (OSError, tarfile.TarError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as a tar of samples: {error}") from error


def _entry(
    number: int, key: str, members: list[tarfile.TarInfo], tar: tarfile.TarFile, score: str | None
) -> _Entry | None:
    by_ending = {member.name[len(key) + 1 :].lower(): member for member in members}
    picture = next((by_ending[ending] for ending in by_ending if ending in _PICTURES), None)
    facts = json.loads(_content(tar, by_ending.get("json")) or "{}")
    facts = facts if isinstance(facts, dict) else {}
    said = [one for one in facts.get("texts") or [] if isinstance(one, dict) and one.get("text")]
    plain = (_content(tar, by_ending.get("txt")) or b"").decode("utf-8").strip()
    if not said and plain:
        said = [{"text": plain}]
    if picture is None or not said:
        return None
    sources: list[Any] = [one.get("source") for one in said]
    return _Entry(
        *(number, picture.offset_data, picture.size, str(facts.get("uid") or key)),
        texts=[str(one["text"]).strip() for one in said],
        sources=tuple(map(str, sources)) if all(sources) else (),
        scores=tuple(one.get(score) for one in said) if score else (),
    )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> bytes | None:
    opened = tar.extractfile(member) if member is not None else None
    return opened.read() if opened is not None else None


def _key(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.split(".", 1)[0]
