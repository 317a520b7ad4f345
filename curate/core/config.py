"""Frozen configs: what a recipe says, validated, before anything heavy is built.

The file name is the registration: ``stages/scorers/blip.py`` holds the ``Config`` that
``kind: blip`` finds among the scorers. A config knows which columns its stage reads and writes,
what one worker of it occupies, and what identifies its results; it never probes hardware and
never imports a model library.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from curate.core.errors import SourceError
from curate.core.resources import Resources

if TYPE_CHECKING:
    from curate.core.stage import (
        Barrier,
        Exporter,
        MapStage,
        RowFilter,
        Selector,
        Sink,
        Source,
        TextFilter,
    )

Role = Literal["source", "map", "row_filter", "text_filter", "barrier", "selector", "plain"]


class FrozenConfig(BaseModel):
    """A validated, immutable piece of a recipe; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def tuning(default: Any, **constraints: Any) -> Any:
    """Declare a field that changes speed or patience but never a result.

    Such fields stay out of the fingerprint: changing them redoes nothing.
    """
    return Field(default, json_schema_extra={"fingerprint": False}, **constraints)


class StageConfig(FrozenConfig):
    """Base of every stage's config.

    Attributes:
        version: raise it when the meaning of the stage's output changes, so that old results
            are not taken for new ones.
    """

    role: ClassVar[Role]
    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns the stage needs."""
        return ()

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """Columns the stage adds or replaces."""
        return ()

    @property
    def resources(self) -> Resources:
        """What one worker of the stage occupies."""
        return Resources()

    @property
    def label(self) -> str | None:
        """The stage's name in the ledger when it is not its kind (a scorer's ``as``)."""
        return None

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the stage's output: settings, version, model hashes.

        JSON values only. Fields made by ``tuning`` are left out. Configs with a model extend it
        by the hash of the weights.
        """
        dumped = self.model_dump(mode="json", by_alias=True)
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict) and extra.get("fingerprint") is False:
                dumped.pop(info.alias or name, None)
        return {"version": self.version, **dumped}

    @property
    def beside(self) -> str | None:
        """Name of the stage that has to stand before this one in the same leg; None for none."""
        return None

    def check(self) -> list[str]:
        """Return what is wrong with the surroundings (a missing file, say), without loading."""
        return []

    def cautions(self) -> list[str]:
        """Return what a person should know before this runs; the plan and the run print it."""
        return []

    @abstractmethod
    def build(self) -> Any:
        """Build the stage; cheap: what is heavy waits for its ``setup``."""


class SourceConfig(StageConfig):
    """Config of a source: where rows come from.

    Attributes:
        partition_rows: rows of one unit of work, retry and commit.
    """

    role = "source"
    partition_rows: int = tuning(1000, ge=1, le=100_000)

    def check(self) -> list[str]:
        """Return what is wrong with the source: nothing there, unreadable, a missing column."""
        try:
            self.build().schema()
        except SourceError as error:
            return [str(error)]
        return []

    @abstractmethod
    def build(self) -> Source:
        """Build the source; cheap, on the driver and on every worker that reads."""


class MapConfig(StageConfig):
    """Config of a map stage: adds columns; same rows, same order."""

    role = "map"

    @abstractmethod
    def build(self) -> MapStage:
        """Build the stage, on the worker."""


class RowFilterConfig(StageConfig):
    """Config of a row filter: gives every row a null (keep) or a reason."""

    role = "row_filter"

    @abstractmethod
    def build(self) -> RowFilter:
        """Build the filter, on the worker."""


class TextFilterConfig(StageConfig):
    """Config of a text filter: judges texts, not rows."""

    role = "text_filter"

    @property
    def reads(self) -> tuple[str, ...]:
        """Texts, where they came from, and what was said of them before."""
        return ("texts", "text_sources", "text_reasons")

    @abstractmethod
    def build(self) -> TextFilter:
        """Build the filter, on the worker."""


class BarrierConfig(StageConfig):
    """Config of a barrier: needs the whole set (deduplication)."""

    role = "barrier"

    @abstractmethod
    def build(self) -> Barrier:
        """Build the barrier."""


class SelectorConfig(StageConfig):
    """Config of a selector: decides text by text, from stored numbers."""

    role = "selector"

    @abstractmethod
    def build(self) -> Selector:
        """Build the selector."""


class SinkConfig(StageConfig):
    """Config of a sink: keeps a view of the finished table in another format."""

    role = "plain"

    @abstractmethod
    def build(self) -> Sink:
        """Build the sink."""


class ExporterConfig(StageConfig):
    """Config of an exporter: hands a selection to a trainer as files."""

    role = "plain"

    @abstractmethod
    def build(self) -> Exporter:
        """Build the exporter."""
