"""What every scorer shares: its settings, and scoring the texts of a partition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from curate.core import columns
from curate.core.stage import CANARY_KEYS, Mapped
from curate.stages.bisection import Bisection
from curate.stages.canaries import Canary, plant
from curate.stages.faults import Faults
from curate.stages.modelling import ModelConfig, ModelStage, Pixels, lists, plain_picture, threads

if TYPE_CHECKING:
    from curate.models.base import Scorer

SCORES = ("itc", "itm")


class ScorerConfig(ModelConfig):
    """Settings of every scorer.

    Attributes:
        as: the scorer's name, which its columns begin with: ``NAME_itc`` (cosine in [-1, 1]) and
            ``NAME_itm`` (probability in [0, 1]). Its kind where not given.
        canaries: share of a partition's images that are also scored with another image's text;
            0 for none. Where it is above 0 every partition with at least two different texts has
            one canary at least.
    """

    family: ClassVar[str] = "scorers"

    as_: str | None = Field(None, alias="as", pattern=r"^[a-z][a-z0-9_]*$", max_length=40)
    canaries: float = Field(0.005, ge=0, le=1)

    @property
    def name(self) -> str:
        """What the columns begin with."""
        return self.as_ or type(self).__module__.rsplit(".", 1)[-1]

    @property
    def label(self) -> str | None:
        """The scorer's name in the ledger when it is not its kind."""
        return self.as_

    @property
    def reads(self) -> tuple[str, ...]:
        """Uid, image and the texts."""
        return ("uid", "image", "texts", "text_sources", "text_reasons")

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """``NAME_itc`` and ``NAME_itm``, parallel to ``texts``."""
        return tuple(columns.score(f"{self.name}_{score}") for score in SCORES)

    @abstractmethod
    def load(self) -> Scorer:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """

    def build(self) -> ScoreStage:
        """Build the stage; the model is loaded by its ``setup``."""
        return ScoreStage(self)


@dataclass(frozen=True, slots=True)
class _Task:
    """A text to score: ``slot`` is its index in the row's texts, or None for a canary."""

    text: str
    slot: int | None


class ScoreStage(ModelStage["Scorer"]):
    """Scores every eligible text of every row; the others stay null.

    A row whose picture cannot be decoded stops here, with the decoder's reason. A row without an
    eligible text costs nothing: its picture is not even decoded.
    """

    def __init__(self, config: ScorerConfig) -> None:
        super().__init__(config)
        self._config: ScorerConfig = config

    def __call__(self, rows: pa.Table) -> Mapped:
        """Score one partition."""
        canaries = plant(rows, self._config.canaries)
        tasks = _tasks(rows, canaries)
        scores = _Scores(rows, canaries)
        faults = Faults()
        with threads(self._config.num_cpus):
            calls = self._score(rows, tasks, scores, faults)
        reasons, details = faults.columns(rows.num_rows)
        notes = {"texts": float(sum(len(row) for row in tasks)), "canaries": float(len(canaries))}
        notes |= calls.notes
        fields = self._config.writes
        arrays = {f.name: scores.column(s, f) for f, s in zip(fields, SCORES, strict=True)}
        scored = columns.append_columns(rows, arrays, fields)
        kept = scores.canary_table(rows, [field.name for field in fields])
        return Mapped(scored, reasons, details, canaries=kept, notes=notes)

    def _score(
        self,
        rows: pa.Table,
        tasks: Sequence[Sequence[_Task]],
        scores: _Scores,
        faults: Faults,
    ) -> Bisection:
        model, decoder = self._loaded()
        wanted = [place for place, row in enumerate(tasks) if row]
        # Rows with texts of like length share a batch, so that little is padded.
        wanted.sort(key=lambda place: (max(len(task.text) for task in tasks[place]), place))
        calls = Bisection(faults, size=self._batch_size)
        for places, images in decoder.batches(rows["image"], wanted, calls.size, faults):
            calls.run(_Batch(model, images, places, tasks, scores).score, places)
        calls.finish(self._control)
        return calls

    def _strain(self, images_B3HW: Pixels) -> None:
        """Score two texts an image, longer than any model reads."""
        model, _ = self._loaded()
        count = len(images_B3HW)
        model.score(images_B3HW, ["a word and " * 500] * (2 * count), [*range(count)] * 2)

    def _control(self) -> None:
        """Score a plain text against a plain picture."""
        model, _ = self._loaded()
        _finite(model.score(model.prepare(plain_picture())[None], ["a picture"], [0]))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some pictures, the texts to score against them, and where the scores go."""

    model: Scorer
    images: Pixels
    places: Sequence[int]
    tasks: Sequence[Sequence[_Task]]
    scores: _Scores

    def score(self, start: int, stop: int) -> None:
        """Score the texts of the pictures [start, stop) and enter the scores."""
        some = [(i, task) for i in range(start, stop) for task in self.tasks[self.places[i]]]
        got = self.model.score(
            self.images[start:stop], [task.text for _, task in some], [i - start for i, _ in some]
        )
        _finite(got)
        for index, (i, task) in enumerate(some):
            values = [float(got[name][index]) for name in SCORES]
            self.scores.enter(self.places[i], task.slot, values)


def _finite(scores: Mapping[str, NDArray[np.float32]]) -> None:
    """Refuse scores that say nothing.

    Raises:
        FloatingPointError: one is NaN or infinite.
    """
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise FloatingPointError(f"{name} is {values[~np.isfinite(values)][0]}")


def _tasks(rows: pa.Table, canaries: Sequence[Canary]) -> list[list[_Task]]:
    tasks: list[list[_Task]] = []
    for texts, reasons in zip(lists(rows, "texts"), lists(rows, "text_reasons"), strict=True):
        judged = reasons + [None] * (len(texts) - len(reasons))
        pairs = enumerate(zip(texts, judged, strict=True))
        tasks.append([_Task(t, slot) for slot, (t, reason) in pairs if t and reason is None])
    for canary in canaries:
        tasks[canary.place].append(_Task(canary.text, None))
    return tasks


class _Scores:
    """Scores of a partition as they come in, in any order."""

    def __init__(self, rows: pa.Table, canaries: Sequence[Canary]) -> None:
        self._texts = [[None] * len(texts) for texts in lists(rows, "texts")]
        self._by_score: dict[str, list[list[float | None]]] = {
            name: [list(row) for row in self._texts] for name in SCORES
        }
        self._canaries = {canary.place: canary for canary in canaries}
        self._of_canaries: dict[int, list[float]] = {}

    def enter(self, place: int, slot: int | None, values: Sequence[float]) -> None:
        """Enter the scores of one text, or of the row's canary where ``slot`` is None."""
        if slot is None:
            self._of_canaries[place] = list(values)
            return
        for name, value in zip(SCORES, values, strict=True):
            self._by_score[name][place][slot] = value

    def column(self, name: str, wanted: pa.Field) -> pa.Array:
        """Return one score as a column parallel to ``texts``."""
        return pa.array(self._by_score[name], wanted.type)

    def canary_table(self, rows: pa.Table, names: Sequence[str]) -> pa.Table:
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
        values = [[self._of_canaries[place][i] for place in places] for i in range(len(names))]
        fields = [pa.field(name, pa.float32()) for name in names]
        arrays = [*keys, *(pa.array(column, pa.float32()) for column in values)]
        return pa.Table.from_arrays(arrays, schema=pa.schema([*CANARY_KEYS, *fields]))
