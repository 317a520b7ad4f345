"""A partition's scores as they come in, in any order, and the columns they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.core.errors import ModelError
from curate.core.stage import CANARY_KEYS
from curate.stages.canaries import Canary
from curate.stages.modelling import lists

if TYPE_CHECKING:
    from curate.models.base import Scored

_TRUNCATED = "truncated"


class ScoredRows:
    """Numbers and flags by text, embeddings by row; null until they are entered.

    Attributes:
        num_truncated: texts that were cut, canaries not counted.
    """

    def __init__(
        self,
        rows: pa.Table,
        canaries: Sequence[Canary],
        scores: Sequence[str],
        embed_width: int | None,
    ) -> None:
        """Make room.

        Args:
            rows: the partition.
            canaries: planted in it.
            scores: names of the numbers to come, e.g. ``itc``.
            embed_width: width of the embeddings to come; None for none.
        """
        lengths = [len(texts) for texts in lists(rows, "texts")]
        self._scores = tuple(scores)
        self._numbers: dict[str, list[list[float | None]]] = {
            name: [[None] * length for length in lengths] for name in scores
        }
        self._truncated: list[list[bool | None]] = [[None] * length for length in lengths]
        self._canaries = {canary.place: canary for canary in canaries}
        self._of_canaries: dict[int, list[float]] = {}
        self._embeds: NDArray[np.float16] | None = None
        if embed_width is not None:
            self._embeds = np.zeros((rows.num_rows, embed_width), np.float16)
        self._embedded = np.zeros(rows.num_rows, bool)
        self.num_truncated = 0

    def enter(self, targets: Sequence[tuple[int, int | None]], scored: Scored) -> None:
        """Enter what a model said of texts.

        Args:
            targets: for each text its row, and its slot in the row's texts or None for the canary.
            scored: parallel to ``targets``.
        """
        for index, (place, slot) in enumerate(targets):
            values = [float(scored.numbers[name][index]) for name in self._scores]
            if slot is None:
                self._of_canaries[place] = values
                continue
            for name, value in zip(self._scores, values, strict=True):
                self._numbers[name][place][slot] = value
            self._truncated[place][slot] = bool(scored.truncated[index])
            self.num_truncated += int(scored.truncated[index])

    def enter_embeddings(self, places: Sequence[int], embeds: NDArray[np.float32] | None) -> None:
        """Enter the embeddings of rows, float32 [rows, width]; without effect where none are due.

        Raises:
            ModelError: they are not as wide as the checkpoint's config.json says.
        """
        if self._embeds is None:
            return
        width = self._embeds.shape[1]
        if embeds is None or embeds.shape[1] != width:
            raise ModelError(
                f"the checkpoint's config.json means embeddings of {width} numbers, its network "
                f"gives {'none' if embeds is None else embeds.shape[1]}"
            )
        self._embeds[list(places)] = embeds
        self._embedded[list(places)] = True

    def columns(self, name: Callable[[str], str]) -> dict[str, pa.Array]:
        """Return the columns by the name that ``name`` makes of each."""
        out = {
            name(score): pa.array(values, pa.list_(pa.float32()))
            for score, values in self._numbers.items()
        }
        out[name(_TRUNCATED)] = pa.array(self._truncated, pa.list_(pa.bool_()))
        if self._embeds is not None:
            flat, width = pa.array(self._embeds.reshape(-1)), self._embeds.shape[1]
            missing = pa.array(~self._embedded)
            out[name("embed")] = pa.FixedSizeListArray.from_arrays(flat, width, mask=missing)
        return out

    def canary_table(self, rows: pa.Table, name: Callable[[str], str]) -> pa.Table:
        """Return the canaries in order of rows, but for those whose picture was broken."""
        places = sorted(self._of_canaries)
        canaries = [self._canaries[place] for place in places]
        number = rows["row"].to_numpy() if rows.num_rows else np.zeros(0, np.int32)
        keys: list[pa.Array] = [
            rows["partition"].combine_chunks().take(pa.array(places, pa.int64())),
            pa.array([number[canary.place] for canary in canaries], pa.int32()),
            pa.array([number[canary.text_place] for canary in canaries], pa.int32()),
            pa.array([canary.text for canary in canaries], pa.string()),
        ]
        fields = [pa.field(name(score), pa.float32()) for score in self._scores]
        values = [[self._of_canaries[p][i] for p in places] for i in range(len(fields))]
        arrays = [*keys, *(pa.array(column, pa.float32()) for column in values)]
        return pa.Table.from_arrays(arrays, schema=pa.schema([*CANARY_KEYS, *fields]))
