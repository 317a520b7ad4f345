"""What a recipe says of evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from curate.core.config import FrozenConfig
from curate.core.pairs import TableConfig


class EvaluateConfig(FrozenConfig):
    """How a model is judged.

    Attributes:
        tables: pictures with texts that no training saw, one table after the other; empty when the
            caller gives them.
        evaluators: which figures.
        device: ``auto`` takes a GPU when there is one.
        batch_size: pictures at once.
        seed: of the shuffle and of the swapped words in ``matching``.
    """

    tables: tuple[TableConfig, ...] = ()
    evaluators: tuple[Literal["retrieval", "matching", "captioning"], ...] = Field(
        ("retrieval", "matching"), min_length=1
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = Field(32, ge=1, le=4096)
    seed: int = Field(0, ge=0)
