"""The stage protocols. Stages are plain Python: they know nothing of engines or of Ray.

A partition's rows arrive as one ``pyarrow.Table`` and leave as one. In a test a stage runs in a
for-loop::

    stage = Config(min_side=200).build()
    with stage.ready():
        verdicts = stage(rows)
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from curate.core.location import StorePath
    from curate.core.selection import Selection
    from curate.core.table import CommittedTable

#: Called with (done, total) as long work goes on.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a map stage or a source makes of a partition.

    Attributes:
        rows: the same rows in the same order, with the declared columns added.
        reasons: string per row, null to keep, else the reason code the row goes to the ledger
            with; None keeps all. (A fetch that fails, an image that cannot be decoded.)
        details: string per row, for people: ``HTTP 503``, ``9.1 MB, limit 5 MB``; None for none.
        canaries: scores of planted mismatches, kept apart from the rows; see ``CANARY_KEYS``.
        notes: counters for progress and metrics, e.g. ``{"bytes": 1.2e6, "halvings": 1}``. Over
            partitions they are summed; of those called ``least_...`` the least is kept.
    """

    rows: pa.Table
    reasons: pa.Array | None = None
    details: pa.Array | None = None
    canaries: pa.Table | None = None
    notes: Mapping[str, float] = field(default_factory=dict)


#: First columns of a canary table; the scorer's columns (plain float32) follow.
#: ``partition, row`` is the image, ``text`` belongs to ``text_row`` of the same partition.
CANARY_KEYS = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("text_row", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a row filter says.

    Attributes:
        reasons: string per row; null keeps the row.
        details: string per row for people, or None.
    """

    reasons: pa.Array
    details: pa.Array | None = None


class _Worker:
    """Life of a stage on its worker: built, set up once, called for many partitions, closed."""

    def setup(self) -> None:
        """Load what is heavy (models, pools). Called once, on the worker, before the first call."""

    def close(self) -> None:
        """Give back what ``setup`` took."""

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Set up, yield, close."""
        self.setup()
        try:
            yield
        finally:
            self.close()


class MapStage(_Worker, ABC):
    """Adds columns: same rows, same order. Must give the same result when called again."""

    def settle(self, settled: Mapping[str, int] | None) -> Mapping[str, int]:
        """Settle what is found out on a worker and kept by the whole run (a batch size).

        Called once, after ``setup``.

        Args:
            settled: what the leg's first worker has found; None on that one, which looks itself.

        Returns:
            What the stage goes by now, positive numbers by name; empty where nothing is left open.
        """
        return {}

    def meet(self, stages: Mapping[str, Any]) -> None:
        """Get to know the stages of the leg by their names, all of them set up and settled.

        For the rare stage that shares something heavy with the one its config names as ``beside``.
        """

    @abstractmethod
    def __call__(self, rows: pa.Table) -> Mapped:
        """Map one partition; ``rows`` may be empty."""


class RowFilter(_Worker, ABC):
    """Gives every row a null (keep) or a reason code."""

    @abstractmethod
    def __call__(self, rows: pa.Table) -> Verdicts:
        """Judge one partition; ``rows`` may be empty."""


class TextFilter(_Worker, ABC):
    """Judges texts; the rows go on."""

    @abstractmethod
    def __call__(self, rows: pa.Table) -> pa.Array:
        """Return list<string> parallel to ``texts``: null where this filter has no objection.

        An earlier reason stays: the engine fills in only where ``text_reasons`` is null.
        """


#: What a barrier's ``resolve`` yields for a partition: the rows that stop there.
VERDICT_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)


class Barrier(_Worker, ABC):
    """Needs the whole set. Judges rows from narrow columns, out of core.

    The survivor of a group is the earliest by (partition, row), never the first to finish; but a
    row that survived earlier stays.
    """

    @abstractmethod
    def sketch(self, rows: pa.Table) -> pa.Table:
        """Return the narrow columns ``resolve`` needs, ``partition`` and ``row`` first.

        Same rows, same order. Called on a worker while the partition is in hand.
        """

    @abstractmethod
    def resolve(
        self, sketches: Sequence[Path], scratch: Path, *, settled: int = 0
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield (partition, verdicts) for partitions with rows that stop, partition ascending.

        Args:
            sketches: one Parquet file a partition, partition ascending.
            scratch: an empty folder on a local disk for buckets; removed afterwards.
            settled: so many files at the front, partition ascending among themselves, hold rows
                that stay whatever comes; they go before all others.

        Yields:
            A partition's number and its verdicts (``VERDICT_SCHEMA``), rows ascending. Partitions
            where nothing stops may be left out. Memory stays bounded whatever the set's size.
        """


class Selector(_Worker, ABC):
    """Decides text by text, from stored numbers. Needs no GPU."""

    @property
    def columns(self) -> Sequence[str] | None:
        """Columns that ``decide`` looks at beside partition, row, text_index and source.

        None stands for all of them. To name them spares reading the rest, the texts above all.
        """
        return None

    def prepare(self, scan: Callable[[], Iterable[pa.Table]]) -> None:
        """Look at the whole set first, when the decision needs it (an exact quantile).

        Args:
            scan: starts a pass over the eligible texts (see ``decide``); may be called again.
        """

    @abstractmethod
    def decide(self, texts: pa.Table) -> pa.Array:
        """Return string per text: null selects it, else the reason it is rejected with.

        Args:
            texts: one row per eligible text (``text_reasons`` null): partition, row, uid,
                text_index (int32), text, source, model and every score column as plain float32
                (null: not scored); of these, what ``columns`` names. Never a whole run: called
                chunk by chunk, all texts of an image in one.
        """

    def summary(self) -> Mapping[str, Any]:
        """Return what the selection should remember of itself (the cut found, say); JSON values."""
        return {}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source, as registered with a run.

    Attributes:
        name: path relative to the source's root, ``/`` separated: its identity.
        rows: number of rows.
        digest: changes when the content does (size and a hash of the ends, say).
        location: where a worker reads it: a path or fsspec URL, possibly of a spooled copy.
    """

    name: str
    rows: int
    digest: str
    location: str


class Source(ABC):
    """Where rows come from. Built on the driver (to enumerate) and on workers (to read)."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """Return the fields ``read`` gives, without ``partition`` and ``row``.

        Opens the first file's header at most.

        Raises:
            SourceError: nothing matches, unreadable, a column is missing.
        """

    @abstractmethod
    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the files in a stable order, streamed: the first at once, never all in memory.

        Args:
            spool: folder of the run for Parquet copies of formats without random access and for
                listings; whatever is written there is written whole or not at all.
            known: files registered earlier by name. A known file is yielded again as it is now,
                so that the caller can compare digests; new files follow in order.
        """

    @abstractmethod
    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Read rows ``[start, stop)`` of a file, on a worker.

        Returns:
            Rows with ``schema()``'s columns and no more; unusable rows carry a reason. The engine
            adds ``partition`` and ``row``.
        """


class Sink(ABC):
    """Keeps a view of the finished table in another format; the view can be rebuilt."""

    @abstractmethod
    def index(self, table: CommittedTable, progress: Progress) -> Mapping[str, Any]:
        """Bring the view up to date with the committed table; safe to repeat, safe to kill.

        Returns:
            What was done, for people: JSON values.
        """


class Exporter(ABC):
    """Hands a selection to a trainer as files."""

    @abstractmethod
    def export(
        self, table: CommittedTable, selection: Selection, output: StorePath, progress: Progress
    ) -> Mapping[str, Any]:
        """Write the selection's pairs below ``output``; the same selection gives the same bytes.

        Returns:
            The manifest: JSON values.
        """

    def leave_out(
        self,
        table: CommittedTable,
        selection: Selection,
        output: StorePath,
        gone: Mapping[int, Set[int]],
        progress: Progress,
    ) -> Mapping[str, Any]:
        """Bring a finished export up to date with a table that some rows have left.

        Written whole unless a format knows better; safe to repeat, safe to kill.

        Args:
            table: without the rows.
            selection: as it is now.
            output: where the export is.
            gone: the rows, by partition.
            progress: told of what is done.

        Returns:
            The manifest.
        """
        return self.export(table, selection, output, progress)


def any_stage_ready(stages: Sequence[_Worker]) -> contextlib.ExitStack:
    """Set up several stages; the returned stack closes them, also when one fails to start."""
    with contextlib.ExitStack() as stack:
        for stage in stages:
            stack.enter_context(stage.ready())
        return stack.pop_all()
