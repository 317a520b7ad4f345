"""Settings of the practice web: a real server on loopback that a recipe can ask for."""

from __future__ import annotations

from pydantic import Field

from curate.core.config import FrozenConfig


class LoopbackConfig(FrozenConfig):
    """A practice web on loopback, made of the shipped pictures, with planted faults.

    Its list is written to ``{output}/loopback/list.parquet``; pictures that are not in it, with
    their descriptions, to ``{output}/loopback/heldout.parquet`` (for evaluation) and
    ``{output}/loopback/clean.parquet`` (for fine-tuning).

    Attributes:
        seed: of the faults and of what is held out.
        held_out: pictures that stay out of the list, for evaluation.
        clean: pictures that stay out of the list, for fine-tuning.
    """

    seed: int = Field(0, ge=0)
    held_out: int = Field(48, ge=0, le=120)
    clean: int = Field(0, ge=0, le=80)
