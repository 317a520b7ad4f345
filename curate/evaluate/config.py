"""What a recipe says of evaluation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from curate.core import families
from curate.core.config import FrozenConfig
from curate.core.pairs import TableConfig
from curate.evaluate.evaluators._base import EvaluatorConfig


class EvaluateConfig(FrozenConfig):
    """How a model is judged.

    Attributes:
        tables: pictures with texts that no training saw, one table after the other; empty when the
            caller gives them.
        evaluators: which figures, each by name or with its settings.
        device: ``auto`` takes a GPU when there is one.
        batch_size: pictures at once.
        seed: of the shuffle and of the swapped words in ``matching``, and of the resampling.
        resamplings: sets of pictures drawn for the intervals; 0 for no intervals.
    """

    tables: tuple[TableConfig, ...] = ()
    evaluators: tuple[SerializeAsAny[EvaluatorConfig], ...] = Field(
        ("retrieval", "matching"), min_length=1, validate_default=True
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = Field(32, ge=1, le=4096)
    seed: int = Field(0, ge=0)
    resamplings: int = Field(1000, ge=0, le=100_000)

    @field_validator("evaluators", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(families.from_recipe("evaluators", one) for one in value)

    @model_validator(mode="after")
    def _named_once(self) -> EvaluateConfig:
        if len(set(self.kinds)) < len(self.evaluators):
            raise ValueError("an evaluator is named twice")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The evaluators' names."""
        return tuple(one.kind for one in self.evaluators)

    @property
    def needs_tables(self) -> bool:
        """Whether an evaluator is judged on ``tables``."""
        return not all(one.own_tables for one in self.evaluators)
