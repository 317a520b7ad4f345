"""A downloaded DataComp pool: its shards, whole or the part that a list of uids names."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curate.core.checksums import file_digest
from curate.core.config import SourceConfig
from curate.core.errors import SourceError
from curate.core.location import StorePath
from curate.core.stage import Mapped, Source, SourceFile
from curate.sources._downloaded import downloaded_tars

NOT_IN_SUBSET = "not_in_subset"
_UID_TYPE = np.dtype("u8,u8")


class Config(SourceConfig):
    """One row per picture of the pool's shards; ``unpack`` takes the pictures out.

    Rows are named by URL and texts, as everywhere; DataComp's own uid is the column
    ``source_uid``, which ``datacomp_uids`` and ``parquet`` hand on.

    Attributes:
        path: the pool's ``shards`` folder, a tar or a glob, or a list of these; local or an
            fsspec URL.
        subset: a list of uids as DataComp publishes them (``.npy``, dtype ``u8,u8``, sorted);
            other rows stop with ``not_in_subset``. None for the whole pool.
        extra: further keys of the samples' JSON to carry along, as strings; None for all that
            hold plain values. ``uid`` is always carried.
    """

    path: str | tuple[str, ...] = Field(min_length=1)
    subset: str | None = Field(None, min_length=1)
    extra: tuple[str, ...] | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows: the subset's content, not where anything is."""
        identity = {key: value for key, value in super().identity().items() if key != "path"}
        if self.subset is not None and Path(self.subset).is_file():
            identity["subset"] = file_digest(Path(self.subset))
        return identity

    def build(self) -> DataCompPool:
        """Build the source."""
        paths = (self.path,) if isinstance(self.path, str) else self.path
        return DataCompPool(paths, self.subset, self.extra)


class DataCompPool(Source):
    """Reads a pool's tars and leaves out what is not in the subset."""

    def __init__(
        self, paths: tuple[str, ...], subset: str | None, extra: tuple[str, ...] | None
    ) -> None:
        named = None if extra is None else tuple(dict.fromkeys(["uid", *extra]))
        self._tars = downloaded_tars(paths, text_source="web", extra=named)
        self._subset = subset
        self._uids: NDArray[Any] | None = None

    def schema(self) -> pa.Schema:
        """Return uid, url, the text columns, where the picture is, and the extras.

        Raises:
            SourceError: nothing matches, the samples have no uid, or the subset is none.
        """
        schema = self._tars.schema()
        if "source_uid" not in schema.names:
            raise SourceError(
                "the samples' JSON has no 'uid', so this is no DataComp pool: "
                "read it as {kind: img2dataset}"
            )
        self._listed()
        return schema

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the tars: known ones first, then new ones by name.

        Raises:
            SourceError: a tar cannot be read.
        """
        yield from self._tars.files(spool, known)

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows of a tar's index.

        Raises:
            SourceError: it cannot be read any more.
        """
        mapped = self._tars.read(file, start, stop)
        listed = self._listed()
        if listed is None:
            return mapped
        assert mapped.reasons is not None
        inside = pa.array([_among(uid, listed) for uid in mapped.rows["source_uid"].to_pylist()])
        other = pc.and_(pc.invert(inside), pc.is_null(mapped.reasons))
        reasons = pc.if_else(other, NOT_IN_SUBSET, mapped.reasons)
        return Mapped(mapped.rows, reasons, mapped.details)

    def _listed(self) -> NDArray[Any] | None:
        """Return the subset, mapped into memory and not read."""
        if self._subset is None:
            return None
        if self._uids is None:
            try:
                uids = np.load(self._subset, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise SourceError(f"cannot read the subset {self._subset}: {error}") from error
            if uids.dtype != _UID_TYPE or uids.ndim != 1:
                raise SourceError(
                    f"the subset {self._subset} holds {uids.dtype} of shape {uids.shape}: "
                    "a list of dtype u8,u8 is due, as DataComp publishes it"
                )
            self._uids = uids
        return self._uids

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the mapped file."""
        return {**self.__dict__, "_uids": None}


def _among(uid: str | None, sorted_uids: NDArray[Any]) -> bool:
    """Whether a uid is in a sorted list, by halves: some thirty looks at a billion."""
    try:
        wanted = (int((uid or "")[:16], 16), int((uid or "")[16:], 16))
    except ValueError:
        return False
    at = bisect.bisect_left(
        range(len(sorted_uids)), wanted, key=lambda index: tuple(sorted_uids[index].tolist())
    )
    return at < len(sorted_uids) and sorted_uids[at].tolist() == wanted
