"""Selecting among the texts of some sources: the others are rejected unseen."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.core.stage import Selector

OTHER_SOURCE, NOT_DRAWN = "other_source", "not_drawn"


class Among(Selector):
    """Hands the texts of some sources to another selector; it never sees the rest."""

    def __init__(self, inner: Selector | None, keep: Sequence[str]) -> None:
        """Wrap a selector; None keeps every text of the sources."""
        self._inner = inner
        self._keep = pa.array(keep, pa.string())

    @property
    def columns(self) -> Sequence[str] | None:
        """What the other selector looks at."""
        return () if self._inner is None else self._inner.columns

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Set up the other selector."""
        with contextlib.nullcontext() if self._inner is None else self._inner.ready():
            yield

    def prepare(self, scan: Callable[[], Iterable[pa.Table]]) -> None:
        """Let the other selector look at the texts of the sources."""
        if self._inner is not None:
            self._inner.prepare(lambda: (part.filter(self._mask(part)) for part in scan()))

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected), ``other_source``, or the other selector's reason per text."""
        mask = self._mask(texts)
        some = texts.filter(mask)
        said = (
            pa.nulls(some.num_rows, pa.string())
            if self._inner is None
            else self._inner.decide(some).cast(pa.string())
        )
        if isinstance(said, pa.ChunkedArray):
            said = said.combine_chunks()
        others = pa.repeat(pa.scalar(OTHER_SOURCE), texts.num_rows)
        return pc.replace_with_mask(others, mask, said)

    def summary(self) -> Mapping[str, Any]:
        """Return the sources, and what the other selector remembers."""
        inner = {} if self._inner is None else dict(self._inner.summary())
        return {"keep": self._keep.to_pylist(), **inner}

    def _mask(self, texts: pa.Table) -> pa.Array:
        found = pc.is_in(texts["source"], value_set=self._keep)
        return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


class RandomShare(Selector):
    """Keeps a random share of the texts, drawn by uid and text: the control of any filter."""

    def __init__(self, share: float, seed: int) -> None:
        """Say how many, in [0, 1], and which draw."""
        self._share, self._seed = share, seed

    @property
    def columns(self) -> Sequence[str]:
        """What the draw depends on."""
        return ("uid", "text")

    def decide(self, texts: pa.Table) -> pa.Array:
        """Return null (selected) or ``not_drawn`` per text."""
        pairs = zip(texts["uid"].to_pylist(), texts["text"].to_pylist(), strict=True)
        reasons = [None if self._draw(*pair) < self._share else NOT_DRAWN for pair in pairs]
        return pa.array(reasons, pa.string())

    def _draw(self, uid: str, text: str) -> float:
        said = f"share|{self._seed}|{uid}|{text}".encode()
        return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big") / 2.0**64

    def summary(self) -> Mapping[str, Any]:
        """Return the settings."""
        return {"share": self._share, "seed": self._seed}
