"""What every captioner shares: its settings, and appending captions to a partition's texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from curate.core import columns
from curate.core.stage import Mapped
from curate.stages.bisection import Bisection
from curate.stages.decode_ahead import Pixels
from curate.stages.degeneration import degeneration
from curate.stages.faults import Faults
from curate.stages.modelling import (
    ModelConfig,
    ModelStage,
    lists,
    plain_picture,
    threads,
)

if TYPE_CHECKING:
    from curate.models.base import Captioner, Writing

Decoding = Literal["nucleus", "greedy", "beam"]


class CaptionerConfig(ModelConfig):
    """Settings of every captioner.

    A caption depends on its image's bytes and uid, the checkpoint and these settings, and on
    nothing else: not on the batch, the worker or the run.

    Attributes:
        num_captions: captions an image.
        prompt: words every caption begins with; they are not part of the text.
        top_p: probability mass of the nucleus that is sampled from, in [0, 1]; 0 is greedy.
        top_k: sample among the k likeliest tokens only; 0 for no such limit.
        temperature: divides logits before truncation; above 1 is bolder.
        repetition_penalty: discourages tokens that are there already; 1 for none. None is 1.1
            when sampling, as in BLIP's code, and 1 otherwise.
        min_tokens: least new tokens of a caption.
        max_tokens: most new tokens of a caption.
        round: turn of the bootstrap loop; another round draws other captions.
    """

    family: ClassVar[str] = "captioners"
    version: ClassVar[int] = 2  # degenerate captions are drawn again

    num_captions: int = Field(1, ge=1, le=64)
    prompt: str = ""
    top_p: float = Field(0.9, ge=0, le=1)
    top_k: int = Field(0, ge=0)
    temperature: float = Field(1.0, gt=0, le=100)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    min_tokens: int = Field(5, ge=0)
    max_tokens: int = Field(30, ge=1)
    round: int = Field(0, ge=0)

    @property
    def reads(self) -> tuple[str, ...]:
        """Uid, image and the texts so far."""
        return ("uid", "image", *(column.name for column in columns.TEXT_FIELDS))

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The four text columns, longer."""
        return columns.TEXT_FIELDS

    @abstractmethod
    def how(self) -> tuple[Decoding, int]:
        """Return the decoding asked for and its number of beams."""

    @abstractmethod
    def load(self) -> Captioner:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """

    def build(self) -> CaptionStage:
        """Build the stage; the model is loaded by its ``setup``."""
        return CaptionStage(self)

    def writing(self) -> Writing:
        """Return the settings as the models take them."""
        from curate.models.base import Writing
        from curate.models.sampling import Sampling

        decoding, num_beams = self._how()
        penalty = self.repetition_penalty
        if penalty is None:
            penalty = 1.1 if decoding == "nucleus" else 1.0
        sampling = Sampling(
            top_p=self.top_p if decoding == "nucleus" else 0.0,
            top_k=self.top_k,
            temperature=self.temperature,
            repetition_penalty=penalty,
            min_tokens=self.min_tokens,
        )
        return Writing(
            decoding=decoding,
            sampling=sampling,
            num_beams=num_beams,
            prompt=self.prompt.strip(),
            max_tokens=self.max_tokens,
            round_number=self.round,
        )

    def _how(self) -> tuple[Decoding, int]:
        decoding, num_beams = self.how()
        return ("greedy" if decoding == "nucleus" and self.top_p == 0 else decoding), num_beams

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        decoding, num_beams = self._how()
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens {self.min_tokens} is above max_tokens {self.max_tokens}")
        if decoding != "nucleus":
            idle = {"top_p", "top_k", "temperature"} & self.model_fields_set
            idle -= {"top_p"} if self.top_p == 0 else set()
            if idle:
                raise ValueError(
                    f"{', '.join(sorted(idle))} without effect: decoding is {decoding}"
                )
        if decoding == "greedy" and self.num_captions > 1:
            raise ValueError(
                "greedy decoding writes one caption an image, num_captions is "
                f"{self.num_captions}: sample (top_p above 0) for more"
            )
        if decoding == "beam" and self.num_captions > num_beams:
            raise ValueError(
                f"{num_beams} beams give at most as many captions, num_captions is "
                f"{self.num_captions}: raise num_beams"
            )
        return self


@dataclass(frozen=True, slots=True)
class _Caption:
    """A caption, the number of its draw, and what is wrong with it."""

    text: str
    draw: int
    reason: str | None


class CaptionStage(ModelStage["Captioner"]):
    """Appends synthetic captions to the texts of every row.

    A row whose picture cannot be decoded stops here, with the decoder's reason; one on which the
    model fails, with ``model_failed`` or ``not_finite``. A sampled caption that is degenerate is
    drawn once more; one that stays so is kept with its reason, so that no text is lost silently.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__(config)
        self._config: CaptionerConfig = config

    def __call__(self, rows: pa.Table) -> Mapped:
        """Caption one partition."""
        faults = Faults()
        self._forget()
        with threads(self._config.num_cpus):
            captions, notes = self._write(rows, faults)
        reasons, details = faults.columns(rows.num_rows)
        return Mapped(self._appended(rows, captions), reasons, details, notes=notes)

    def _write(
        self, rows: pa.Table, faults: Faults
    ) -> tuple[list[list[_Caption]], dict[str, float]]:
        model, decoder = self._loaded()
        uids = rows["uid"].to_pylist()
        captions: list[list[_Caption]] = [[] for _ in uids]
        writer = _Writer(model, self._config, captions)
        calls = Bisection(faults, size=self._batch_size)
        places: Sequence[int]
        for places, images in decoder.batches(rows["image"], range(len(uids)), calls.size, faults):
            batch = partial(writer.write, images, [uids[place] for place in places], places)
            calls.run(batch, places)
        calls.finish(self._control)
        every = list(chain.from_iterable(captions))
        return captions, {
            "captions": float(len(every)),
            "redrawn": float(writer.redrawn),
            "degenerate": float(sum(caption.reason is not None for caption in every)),
            **calls.notes,
        }

    def _control(self) -> None:
        """Caption a plain picture."""
        model, _ = self._loaded()
        self._strain(model.prepare(plain_picture())[None])

    def _strain(self, images_B3HW: Pixels) -> None:
        """Write all captions of some pictures."""
        model, _ = self._loaded()
        uids = [f"{number:032x}" for number in range(len(images_B3HW))]
        model.caption(images_B3HW, uids, range(self._config.num_captions))

    def _appended(self, rows: pa.Table, captions: list[list[_Caption]]) -> pa.Table:
        assert self._model is not None
        signature, describe = self._model.signature, self._config.writing().describe
        added: dict[str, list[list[Any]]] = {
            "texts": [[caption.text for caption in some] for some in captions],
            "text_sources": [[columns.SYNTHETIC] * len(some) for some in captions],
            "text_models": [[f"{signature} {describe(c.draw)}" for c in some] for some in captions],
            "text_reasons": [[caption.reason for caption in some] for some in captions],
        }
        lengths = [len(texts) for texts in lists(rows, "texts")]
        longer = {}
        for column in columns.TEXT_FIELDS:
            before = lists(rows, column.name)
            padded = [
                values + [None] * (length - len(values))
                for values, length in zip(before, lengths, strict=True)
            ]
            both = [old + new for old, new in zip(padded, added[column.name], strict=True)]
            longer[column.name] = pa.array(both, column.type)
        return columns.append_columns(rows, longer, columns.TEXT_FIELDS)


class _Writer:
    """Writes the captions of a partition into ``captions``, and draws degenerate ones again."""

    def __init__(
        self, model: Captioner, config: CaptionerConfig, captions: list[list[_Caption]]
    ) -> None:
        self.redrawn = 0
        self._model = model
        self._num_captions = config.num_captions
        self._sampled = config.writing().decoding == "nucleus"
        self._captions = captions

    def write(
        self, images: Pixels, uids: Sequence[str], places: Sequence[int], start: int, stop: int
    ) -> None:
        """Caption the pictures [start, stop) of a batch."""
        images, uids = images[start:stop], uids[start:stop]
        draws = range(self._num_captions)
        texts = self._model.caption(images, uids, draws)
        written = [
            [
                _Caption(text, draw, degeneration(text))
                for draw, text in zip(draws, some, strict=True)
            ]
            for some in texts
        ]
        redrawn = self._redraw(images, uids, written) if self._sampled else 0
        self.redrawn += redrawn
        for place, some in zip(places[start:stop], written, strict=True):
            self._captions[place] = some

    def _redraw(self, images: Pixels, uids: Sequence[str], written: list[list[_Caption]]) -> int:
        """Draw degenerate captions once more; returns how many were replaced by good ones.

        Caption k gets the draw ``num_captions + k``, whatever befell the captions beside it.
        """
        replaced = 0
        for k in range(self._num_captions):
            poor = [i for i, some in enumerate(written) if some[k].reason is not None]
            if not poor:
                continue
            draw = self._num_captions + k
            again = self._model.caption(images[poor], [uids[i] for i in poor], [draw])
            for i, (text,) in zip(poor, again, strict=True):
                if degeneration(text) is None:
                    written[i][k] = _Caption(text, draw, None)
                    replaced += 1
        return replaced
