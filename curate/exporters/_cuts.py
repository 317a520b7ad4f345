"""Samples in their order, cut into shards as they are taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from curate.core.samples import Position, Sample, image_key


class Ahead:
    """Samples with a look at the one to come; ``at`` is the place of that one."""

    def __init__(self, samples: Iterator[tuple[Sample, Position]], start: Position) -> None:
        self._samples = samples
        self.at, self._behind = start, start
        self.next: Sample | None = None
        self.take()

    def take(self) -> Sample | None:
        """Return the sample to come, and look at the one behind it."""
        taken = self.next
        self.at = self._behind
        self.next, self._behind = next(self._samples, (None, self._behind))
        return taken


class ShardCut:
    """One shard's share of the samples, taken as they are written."""

    def __init__(self, stream: Ahead, rows: int, limit: int | None) -> None:
        self._stream = stream
        self._rows = rows
        self._limit = limit
        self._bytes = 0
        self._keys: list[str] = []
        self._images: set[str] = set()
        self.samples = 0
        self.texts: Counter[str] = Counter()
        self.models: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether the sample to come belongs to the next shard."""
        coming = self._stream.next
        assert coming is not None
        over = self._limit is not None and self._bytes + coming.payload > self._limit
        return self.samples >= self._rows or (self.samples > 0 and over)

    def __iter__(self) -> Iterator[Sample]:
        while self._stream.next is not None and not self.full:
            sample = self._stream.take()
            assert sample is not None
            self.samples += 1
            self._bytes += sample.payload
            self._keys = [*self._keys[:1], sample.key]
            self._images.add(image_key(sample.key))
            self.texts.update(one.source for one in sample.captions)
            self.models.update(one.model for one in sample.captions if one.model)
            yield sample

    def facts(self) -> dict[str, Any]:
        """Return counts and ends; an image counts in each shard that has a text of it."""
        return {
            "samples": self.samples,
            "images": len(self._images),
            "first": self._keys[0],
            "last": self._keys[-1],
            "texts": dict(sorted(self.texts.items())),
            "models": dict(sorted(self.models.items())),
        }
