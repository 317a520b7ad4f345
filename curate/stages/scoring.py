"""What every scorer shares: its settings, and scoring the texts of a partition."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core import columns
from curate.core.errors import ModelError
from curate.core.stage import Mapped
from curate.models.checkpoint_config import read_config
from curate.stages.bisection import Bisection
from curate.stages.canaries import Canary, plant
from curate.stages.decode_ahead import Pixels
from curate.stages.faults import Faults
from curate.stages.modelling import ModelConfig, ModelStage, lists, plain_picture, threads
from curate.stages.scored_rows import ScoredRows

if TYPE_CHECKING:
    from curate.models.base import Scored, Scorer


class ScorerConfig(ModelConfig):
    """Settings of every scorer.

    A family says in ``scores`` which numbers it gives.

    Attributes:
        as: the scorer's name, which its columns begin with: ``NAME_itc`` (cosine in [-1, 1]),
            ``NAME_itm`` (probability in [0, 1]), or both, and ``NAME_truncated`` (whether a text
            was longer than the model reads). Its kind where not given.
        canaries: share of a partition's images that are also scored with another image's text;
            0 for none. Where it is above 0 every partition with at least two different texts has
            one canary at least.
    """

    family: ClassVar[str] = "scorers"
    version: ClassVar[int] = 2  # texts that were cut are flagged
    scores: ClassVar[tuple[str, ...]] = ("itc", "itm")

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
        """The numbers and the flag, parallel to ``texts``."""
        numbers = [columns.score(self.column(score)) for score in self.scores]
        return (*numbers, columns.parallel(self.column("truncated"), pa.bool_()))

    @property
    def embed_width(self) -> int | None:
        """Width of the embeddings to write; None for none."""
        return None

    def column(self, what: str) -> str:
        """Return the name of one of the scorer's columns."""
        return f"{self.name}_{what}"

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


class EmbeddingScorerConfig(ScorerConfig):
    """Settings of scorers whose model has one vector for an image.

    Attributes:
        embed: also write ``NAME_embed``, the image's embedding: unit norm, float16; for search
            and semantic deduplication. Images without a text are then encoded, too.
    """

    embed: bool = False

    @abstractmethod
    def width(self, config: Mapping[str, Any]) -> int:
        """Return the width of embeddings that a checkpoint's config.json means."""

    @property
    def embed_width(self) -> int | None:
        """Width of the embeddings to write, from the checkpoint's config.json; None for none.

        Raises:
            ModelError: the config.json is not there or damaged, or says no such width.
        """
        if not self.embed:
            return None
        config = read_config(self.model, self.revision)
        try:
            return self.width(config)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the config.json of {self.model!r} does not say how wide its embeddings are "
                f"({type(error).__name__}: {error}): mend it, or leave out 'embed'"
            ) from error

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The numbers and the flag, and the embedding where it is asked for.

        Without the embedding where its width cannot be told, which ``check`` reports.
        """
        with contextlib.suppress(ModelError):
            if (width := self.embed_width) is not None:
                return (*super().writes, columns.embedding(self.column("embed"), width))
        return super().writes

    def check(self) -> list[str]:
        """Return what is wrong with the checkpoint, also with the width of its embeddings."""
        problems = super().check()
        if problems:
            return problems
        try:
            self.embed_width  # noqa: B018 - read for its errors
        except ModelError as error:
            return [str(error)]
        return []


class ScoreStage(ModelStage["Scorer"]):
    """Scores every eligible text of every row; the others stay null.

    A row whose picture cannot be decoded stops here, with the decoder's reason. A row without an
    eligible text costs nothing, unless embeddings are asked for: its picture is not even decoded.
    """

    def __init__(self, config: ScorerConfig) -> None:
        super().__init__(config)
        self._config: ScorerConfig = config

    def __call__(self, rows: pa.Table) -> Mapped:
        """Score one partition."""
        config = self._config
        canaries = plant(rows, config.canaries)
        tasks = _tasks(rows, canaries)
        scored = ScoredRows(rows, canaries, config.scores, config.embed_width)
        faults = Faults()
        with threads(config.num_cpus):
            calls = self._score(rows, tasks, scored, faults)
        reasons, details = faults.columns(rows.num_rows)
        notes = {
            "texts": float(sum(len(row) for row in tasks)),
            "truncated": float(scored.num_truncated),
            "canaries": float(len(canaries)),
            **calls.notes,
        }
        arrays = scored.columns(config.column)
        added = columns.append_columns(rows, arrays, config.writes)
        kept = scored.canary_table(rows, config.column)
        return Mapped(added, reasons, details, canaries=kept, notes=notes)

    def _score(
        self,
        rows: pa.Table,
        tasks: Sequence[Sequence[_Task]],
        scored: ScoredRows,
        faults: Faults,
    ) -> Bisection:
        model, decoder = self._loaded()
        every = self._config.embed_width is not None
        wanted = [place for place, row in enumerate(tasks) if row or every]
        # Rows with texts of like length share a batch, so that little is padded.
        wanted.sort(
            key=lambda place: (max((len(task.text) for task in tasks[place]), default=0), place)
        )
        calls = Bisection(faults, size=self._batch_size)
        for places, images in decoder.batches(rows["image"], wanted, calls.size, faults):
            calls.run(_Batch(model, images, places, tasks, scored).score, places)
        calls.finish(self._control)
        return calls

    def _strain(self, images_B3HW: Pixels) -> None:
        """Score two texts an image, all different and longer than any model reads."""
        model, _ = self._loaded()
        count = len(images_B3HW)
        texts = [f"{number} " + "a word and " * 500 for number in range(2 * count)]
        model.score(images_B3HW, texts, [*range(count)] * 2)

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
    scored: ScoredRows

    def score(self, start: int, stop: int) -> None:
        """Score the texts of the pictures [start, stop) and enter the scores."""
        some = [(i, task) for i in range(start, stop) for task in self.tasks[self.places[i]]]
        got = self.model.score(
            self.images[start:stop], [task.text for _, task in some], [i - start for i, _ in some]
        )
        _finite(got)
        targets = [(self.places[i], task.slot) for i, task in some]
        self.scored.enter(targets, got)
        self.scored.enter_embeddings(self.places[start:stop], got.image_embeds)


def _finite(scored: Scored) -> None:
    """Refuse scores that say nothing.

    Raises:
        FloatingPointError: one is NaN or infinite.
    """
    embeds = {} if scored.image_embeds is None else {"the embedding": scored.image_embeds}
    for name, values in {**scored.numbers, **embeds}.items():
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
