"""Captioning: CIDEr, BLEU-4, METEOR and SPICE of captions against human ones.

CIDEr compares with the other captions of the very same set (its word weights come from there),
so figures of different sets do not compare. METEOR, SPICE and the official tokenizer are written in
Java; what cannot be had is named, with the reason, and the result says which tokenizer was used.

Shapes: I images, R resamplings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from curate.core.errors import ModelError
from curate.evaluate.caption_scores import caption_scores
from curate.evaluate.caption_words import treebank_words, words
from curate.evaluate.evaluators._base import EvaluatorConfig, Finding, Subject
from curate.evaluate.intervals import Floats, Interval
from curate.evaluate.java import Java, JavaFault, find_java
from curate.evaluate.meteor import meteor
from curate.evaluate.pool import Pool
from curate.evaluate.spice import spice

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_EXAMPLES = 8
_TOKENIZER = "PTB tokenizer"


class Config(EvaluatorConfig):
    """Captions against all of a picture's texts.

    Attributes:
        prompt: words that every caption begins with; they count as part of it.
        max_tokens: most new tokens, or as many as the model has positions for.
        num_beams: width of the beam search; 1 is greedy decoding.
        java: what is written in Java: ``auto`` uses it where it works and names what is left out,
            ``require`` fails where something does not work, ``never`` leaves it alone.
        java_timeout_s: longest life of one Java program, seconds.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"write"})

    kind: Literal["captioning"] = "captioning"
    prompt: str = ""
    max_tokens: int = Field(24, ge=1, le=1000)
    num_beams: int = Field(1, ge=1, le=64)
    java: Literal["auto", "require", "never"] = "auto"
    java_timeout_s: float = Field(3600, gt=0)

    def evaluate(self, subject: Subject) -> CaptioningResult:
        """Write a caption of every picture and score it."""
        pool = subject.pool
        captions = write_captions(
            *(subject.model, subject.tokenizer, pool),
            prompt=self.prompt,
            max_tokens=self.max_tokens,
            num_beams=self.num_beams,
            batch_size=subject.batch_size,
        )
        return judge(self, subject, captions, pool.texts_of())


@dataclass(frozen=True, kw_only=True)
class CaptioningResult(Finding):
    """How near captions come to human ones.

    Attributes:
        cider: 0 and up; 1.0 is what people call 100.
        bleu4: 0 to 1.
        meteor: 0 to 1; None where it was left out.
        spice: 0 to 1; None where it was left out.
        distinct: different captions, of all captions; low when a model repeats itself.
        mean_words: of a caption.
        num_images: captions written.
        tokenizer: ``ptb``, the official one, or ``words``, our own.
        left_out: what could not be had, and why.
        examples: the first few captions.
    """

    cider: float
    bleu4: float
    meteor: float | None
    spice: float | None
    distinct: float
    mean_words: float
    num_images: int
    tokenizer: Literal["ptb", "words"]
    left_out: Mapping[str, str]
    examples: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return a line of figures, and one for everything that was left out."""
        figures = [
            f"{said} {value:.3f}{self.between(name)}"
            for name, said in _NAMES.items()
            if (value := getattr(self, name)) is not None
        ]
        counted = f"{self.num_images:,} pictures, tokenizer {self.tokenizer}"
        return [
            f"captions {'  '.join(figures)}   {counted}",
            *(f"left out: {what}: {why}" for what, why in self.left_out.items()),
        ]


_NAMES = {"cider": "CIDEr", "bleu4": "BLEU-4", "meteor": "METEOR", "spice": "SPICE"}


def judge(
    config: Config, subject: Subject, captions: list[str], references: list[list[str]]
) -> CaptioningResult:
    """Score captions by everything that can be had.

    Raises:
        JavaFault: something in Java does not work, and the config requires it.
        CurateError: pycocoevalcap is not installed.
    """
    return _Judge(config, subject).judge(captions, references)


class _Scored(Protocol):
    def of_sets(self, weights_RI: Floats) -> Mapping[str, Floats]: ...


@dataclass
class _Judge:
    """Scores captions by everything that can be had."""

    config: Config
    subject: Subject
    values: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def judge(self, captions: list[str], references: list[list[str]]) -> CaptioningResult:
        java = self._java()
        flat = [text for texts in references for text in texts]
        split = self._words(java, [*captions, *flat])
        wrote, rest = split[: len(captions)], iter(split[len(captions) :])
        wanted = [[next(rest) for _ in texts] for texts in references]
        self._add(nullcontext(caption_scores(wrote, wanted)), len(captions))
        if java is not None:
            self._try("METEOR", lambda: meteor(java, wrote, wanted), len(captions))
            lines = [[" ".join(text) for text in texts] for texts in wanted]
            said = [" ".join(caption) for caption in wrote]
            self._try("SPICE", lambda: nullcontext(spice(java, said, lines)), len(captions))
        lengths = np.array([len(words(caption)) for caption in captions], np.float64)
        return CaptioningResult(
            cider=self.values["cider"],
            bleu4=self.values["bleu4"],
            meteor=self.values.get("meteor"),
            spice=self.values.get("spice"),
            distinct=len(set(captions)) / len(captions),
            mean_words=float(lengths.mean()),
            num_images=len(captions),
            tokenizer="words" if _TOKENIZER in self.left_out else "ptb",
            left_out=self.left_out,
            examples=tuple(captions[:_EXAMPLES]),
            intervals=self.intervals,
        )

    def _java(self) -> Java | None:
        if self.config.java == "never":
            self.left_out |= dict.fromkeys((_TOKENIZER, "METEOR", "SPICE"), "java: never")
            return None
        try:
            return find_java(self.config.java_timeout_s)
        except JavaFault as fault:
            for what in (_TOKENIZER, "METEOR", "SPICE"):
                self._leave_out(what, fault)
            return None

    def _words(self, java: Java | None, texts: Sequence[str]) -> list[list[str]]:
        if java is not None:
            try:
                return treebank_words(java, texts)
            except JavaFault as fault:
                self._leave_out(_TOKENIZER, fault)
        return [words(text) for text in texts]

    def _try(
        self, name: str, make: Callable[[], AbstractContextManager[_Scored]], num_images: int
    ) -> None:
        try:
            self._add(make(), num_images)
        except JavaFault as fault:
            self._leave_out(name, fault)

    def _add(self, scored: AbstractContextManager[_Scored], num_images: int) -> None:
        with scored as scores:
            found = scores.of_sets(np.ones((1, num_images)))
            intervals = self.subject.intervals(scores.of_sets, num_images)
        self.values |= {name: float(one[0]) for name, one in found.items()}
        self.intervals |= intervals

    def _leave_out(self, name: str, fault: JavaFault) -> None:
        if self.config.java == "require":
            raise JavaFault(f"{name}: {fault} ('java: auto' goes on without it)") from fault
        self.left_out[name] = str(fault)


def write_captions(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    pool: Pool,
    *,
    prompt: str,
    max_tokens: int,
    num_beams: int,
    batch_size: int,
) -> list[str]:
    """Return a caption of every picture, the prompt included.

    Args:
        model: in evaluation mode, with ``generate``.
        tokenizer: the model's.
        pool: what is evaluated.
        prompt: words that every caption begins with.
        max_tokens: most new tokens, or as many as the model has positions for.
        num_beams: width of the beam search; 1 is greedy decoding.
        batch_size: pictures at once.

    Raises:
        ModelError: the prompt leaves no room for a caption.
    """
    import torch

    from curate.models.beam_search import beam_search
    from curate.models.med_tokenizer import detokenize, prompt_ids

    start = prompt_ids(tokenizer, prompt).to(model.device)
    room = model.config.max_text_tokens + 1 - len(start)
    if room < 1:
        raise ModelError(
            f"the prompt has {len(start) - 1} tokens and leaves none of the model's "
            f"{model.config.max_text_tokens} positions: give a shorter 'prompt'"
        )
    max_tokens = min(max_tokens, room)
    captions: list[str] = []
    with torch.inference_mode():
        for first in range(0, pool.num_images, batch_size):
            tokens = pool.tokens[first : first + batch_size]
            if num_beams > 1:
                written = beam_search(model, tokens, start, max_tokens, num_beams=num_beams)
            else:
                written = model.generate(tokens, start, max_tokens)
            whole = torch.cat([start.expand(len(written), -1), written], 1)
            captions += detokenize(tokenizer, whole)
    return captions
