"""What every captioner shares: its settings, and appending captions to a partition's texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from curate.core import columns
from curate.core.stage import Mapped
from curate.stages.modelling import (
    Faults,
    ModelConfig,
    ModelStage,
    Pixels,
    in_halves,
    lists,
    threads,
)

if TYPE_CHECKING:
    from curate.models.base import Captioner, Writing

#: Reason of a caption without a word in it (a model that ends at once).
EMPTY_CAPTION = "empty_caption"

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


class CaptionStage(ModelStage["Captioner"]):
    """Appends synthetic captions to the texts of every row.

    A row whose picture cannot be decoded stops here, with the decoder's reason. A caption without
    a word is kept with the reason ``empty_caption``, so that no text is lost silently.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__(config)
        self._config: CaptionerConfig = config

    def __call__(self, rows: pa.Table) -> Mapped:
        """Caption one partition."""
        faults, notes = Faults(), {"halvings": 0.0}
        with threads(self._config.num_cpus):
            captions = self._write(rows, faults, notes)
        reasons, details = faults.columns(rows.num_rows)
        notes["captions"] = float(sum(len(texts) for texts in captions))
        return Mapped(self._appended(rows, captions), reasons, details, notes=notes)

    def _write(self, rows: pa.Table, faults: Faults, notes: dict[str, float]) -> list[list[str]]:
        model, decoder = self._loaded()
        uids = rows["uid"].to_pylist()
        captions: list[list[str]] = [[] for _ in uids]
        size = self._config.batch_size
        for places, images in decoder.batches(rows["image"], range(len(uids)), size, faults):
            draws = range(self._config.num_captions)
            write = partial(_caption, model, images, [uids[place] for place in places], draws)
            written = in_halves(write, 0, len(places), notes)
            for place, texts in zip(places, chain.from_iterable(written), strict=True):
                captions[place] = texts
        return captions

    def _appended(self, rows: pa.Table, captions: list[list[str]]) -> pa.Table:
        assert self._model is not None
        writing = self._config.writing()
        made_by = [
            f"{self._model.signature} {writing.describe(k)}"
            for k in range(self._config.num_captions)
        ]
        added: dict[str, list[list[Any]]] = {
            "texts": captions,
            "text_sources": [[columns.SYNTHETIC] * len(texts) for texts in captions],
            "text_models": [made_by[: len(texts)] for texts in captions],
            "text_reasons": [[None if t else EMPTY_CAPTION for t in texts] for texts in captions],
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


def _caption(
    model: Captioner,
    images: Pixels,
    uids: Sequence[str],
    draws: Sequence[int],
    start: int,
    stop: int,
) -> list[list[str]]:
    return model.caption(images[start:stop], uids[start:stop], draws)
