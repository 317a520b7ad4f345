"""Embeddings of a run's images: which are nearest to a vector.

An image is a number: ``partition << 32 | row``.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.core.errors import StoreError
from curate.inspection.index.build import vectors_name
from curate.inspection.index.columns import VECTOR

#: Of an approximate index: clusters looked into, and how many times the wanted number of vectors
#: is compared exactly.
_PROBES, _REFINE = 40, 2

Images = NDArray[np.int64]
Vector = NDArray[np.float32]


class Vectors:
    """The embeddings in an index, of the first scorer that wrote any; safe in threads.

    Attributes:
        name: their column; None where the run has none.
    """

    def __init__(self, place: Path, embeddings: tuple[str, ...]) -> None:
        self.name = embeddings[0] if embeddings else None
        self._dataset: Any = opened(place, vectors_name(0)) if embeddings else None

    def check(self) -> None:
        """Check that there are embeddings.

        Raises:
            StoreError: there are none; the message says how to get them.
        """
        if self.name is None:
            raise StoreError(
                "this run has no image embeddings to search by: give its scorer 'embed: true' and "
                "run it again (only the scorer is done again), or add one by 'curate add-score'"
            )

    def nearest(self, vector: Vector, count: int) -> tuple[Images, NDArray[np.float64]]:
        """Return the images whose embeddings are nearest to a vector, the nearest first.

        Args:
            vector: float32 [E], unit norm.
            count: how many images.

        Returns:
            Images, and their cosines with the vector.

        Raises:
            StoreError: the run has no embeddings.
        """
        self.check()
        if self._dataset is None or not len(self._images):
            return np.zeros(0, np.int64), np.zeros(0)
        kind = self._dataset.schema.field(VECTOR).type.value_type.to_pandas_dtype()
        query = {
            **{"column": VECTOR, "q": vector.astype(kind), "k": count, "metric": "cosine"},
            **({"nprobes": _PROBES, "refine_factor": _REFINE} if self._approximate else {}),
        }
        found = self._dataset.to_table(columns=["partition", "row", "_distance"], nearest=query)
        return _images(found), 1 - found["_distance"].to_numpy().astype(np.float64)

    def of_image(self, image: int) -> Vector | None:
        """Return the embedding of an image, float32 [E]; None where it has none.

        Raises:
            StoreError: the run has no embeddings.
        """
        self.check()
        if self._dataset is None:
            return None
        at = np.flatnonzero(self._images == image)
        if not len(at):
            return None
        found = self._dataset.take([int(at[0])], columns=[VECTOR])[VECTOR]
        return np.asarray(found[0].as_py(), np.float32)

    @cached_property
    def _approximate(self) -> bool:
        return bool(self._dataset.has_index)

    @cached_property
    def _images(self) -> Images:
        return _images(self._dataset.to_table(columns=["partition", "row"]))


def opened(place: Path, name: str) -> Any:
    """Return a table of an index as a Lance dataset; None where it was not made."""
    import lance

    path = place / f"{name}.lance"
    return lance.dataset(str(path)) if path.exists() else None


def _images(keys: pa.Table) -> Images:
    partitions, rows = (keys[name].to_numpy().astype(np.int64) for name in ("partition", "row"))
    return np.asarray(partitions << 32 | rows)
