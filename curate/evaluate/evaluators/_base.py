"""What every evaluator has: settings, what it needs of a model, and what it finds.

A file ``evaluators/NAME.py`` holds a ``Config`` of this form; ``NAME`` in a recipe finds it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curate.core.config import FrozenConfig
from curate.core.pairs import PairSource, TableConfig
from curate.evaluate.intervals import Figures, Interval, intervals
from curate.evaluate.pool import Pictures, Pool, encode_pictures, encode_pool

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel
    from curate.models.tower_tokens import TowerTokens


@dataclass(frozen=True)
class Subject:
    """A model under judgement, and what it is judged on.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        items: pictures with texts.
        keep_tokens: whether an evaluator looks at image tokens.
        batch_size: pictures at once.
        seed: of everything left to chance.
        resamplings: sets drawn for an interval; 0 for no intervals.
        image_tokens: folder in which models with the same image tower share its tokens; None
            computes them.
    """

    model: PairModel
    tokenizer: PreTrainedTokenizerFast
    items: PairSource
    keep_tokens: bool
    batch_size: int
    seed: int
    resamplings: int
    image_tokens: Path | None = None

    @cached_property
    def pool(self) -> Pool:
        """Pictures and texts, encoded once for every evaluator."""
        return encode_pool(
            *(self.model, self.tokenizer, self.items),
            batch_size=self.batch_size,
            keep_tokens=self.keep_tokens,
            tokens=self._tokens,
        )

    def pictures(self, items: PairSource | None) -> Pictures:
        """Return other pictures than the pool's, encoded; None for the pool's own."""
        if items is None:
            return self.pool
        return encode_pictures(self.model, items, batch_size=self.batch_size, tokens=self._tokens)

    @cached_property
    def _tokens(self) -> TowerTokens | None:
        import torch

        from curate.models.tower_tokens import TowerTokens

        if self.image_tokens is None:
            return None
        return TowerTokens(self.model, self.image_tokens, dtype=torch.float32)

    def intervals(self, figures: Figures, num_images: int) -> dict[str, Interval]:
        """Return the intervals of figures; none where none are asked for."""
        if not self.resamplings:
            return {}
        return intervals(figures, num_images, resamplings=self.resamplings, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Finding(ABC):
    """What an evaluator found.

    Attributes:
        intervals: of its figures, by name; empty where none were asked for.
    """

    #: Attributes that are too long for a summary.
    details: ClassVar[tuple[str, ...]] = ()

    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the finding for people, a line each."""

    def to_json(self, *, details: bool = False) -> dict[str, Any]:
        """Return the finding as JSON values; an interval is ``[low, high]``."""
        said = dataclasses.asdict(self)
        for name in self.details:
            found = said.pop(name)
            if details:
                said[name] = {key: value.tolist() for key, value in found.items()}
        said["intervals"] = {name: [one.low, one.high] for name, one in self.intervals.items()}
        return said

    def between(self, name: str, form: str = ".3f") -> str:
        """Return a figure's interval for people, `` (0.41 to 0.52)``; nothing where none is."""
        if name not in self.intervals:
            return ""
        one = self.intervals[name]
        return f" ({one.low:{form}} to {one.high:{form}})"


class EvaluatorConfig(FrozenConfig):
    """Base of the evaluators' configs.

    Attributes:
        kind: the file's name.
    """

    #: What a model must be able to do: ``match``, ``write``.
    needs: ClassVar[frozenset[str]] = frozenset()

    kind: str

    @property
    def own_tables(self) -> tuple[TableConfig, ...]:
        """What it is judged on instead of the tables of all; empty where on those."""
        return ()

    @abstractmethod
    def evaluate(self, subject: Subject) -> Finding:
        """Judge a model.

        Raises:
            SourceError: nothing to compare.
            CurateError: a package is missing.
        """
