"""Small real stages for tests of engines and stores: plain, deterministic, without models.

They ship with the package so that a test of somebody else's engine or stage can use them too.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.core import columns
from curate.core.config import (
    BarrierConfig,
    MapConfig,
    RowFilterConfig,
    SourceConfig,
    TextFilterConfig,
    tuning,
)
from curate.core.errors import DeviceFailed
from curate.core.location import StorePath
from curate.core.plan import Plan, StagePlan, compile_plan
from curate.core.resources import Resources
from curate.core.stage import (
    CANARY_KEYS,
    VERDICT_SCHEMA,
    Barrier,
    Mapped,
    MapStage,
    RowFilter,
    Source,
    SourceFile,
    TextFilter,
    Verdicts,
)


class FakeSourceConfig(SourceConfig):
    """A list made of numbers: row ``i`` of file ``f`` has the text ``f i``.

    Attributes:
        files: rows of each file; what the list holds is not its identity.
        bad_every: every so many rows one has no URL; 0 for none.
    """

    files: tuple[int, ...] = tuning((10,))
    bad_every: int = 0

    def build(self) -> FakeSource:
        """Build the source."""
        return FakeSource(self)


class FakeSource(Source):
    """See ``FakeSourceConfig``."""

    def __init__(self, config: FakeSourceConfig) -> None:
        self._config = config

    def schema(self) -> pa.Schema:
        """Return uid, url and the text columns."""
        return pa.schema([columns.UID, columns.URL, *columns.TEXT_FIELDS])

    def files(self, spool: StorePath, known: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
        """Yield the files of the config."""
        for index, rows in enumerate(self._config.files):
            yield SourceFile(f"file-{index}", rows, f"{rows}", "")

    def read(self, file: SourceFile, start: int, stop: int) -> Mapped:
        """Make the rows."""
        every = self._config.bad_every
        names = [f"{file.name} {row}" for row in range(start, stop)]
        bad = [bool(every) and row % every == every - 1 for row in range(start, stop)]
        texts = [[name] for name in names]
        arrays = [
            pa.array([hashlib.md5(n.encode()).hexdigest() for n in names], pa.string()),
            pa.array(
                [None if b else f"http://x.test/{n}" for n, b in zip(names, bad, strict=True)],
                pa.string(),
            ),
            pa.array(texts, columns.TEXTS.type),
            pa.array([["web"]] * len(names), columns.TEXT_SOURCES.type),
            pa.array([[None]] * len(names), columns.TEXT_MODELS.type),
            pa.array([[None]] * len(names), columns.TEXT_REASONS.type),
        ]
        reasons = pa.array(["no_url" if b else None for b in bad], pa.string())
        return Mapped(pa.Table.from_arrays(arrays, schema=self.schema()), reasons)


class FakeMapConfig(MapConfig):
    """Adds the length of the first text as a number, and an image of so many bytes.

    Attributes:
        writes_as: name of the column.
        num_cpus: declared need; above 0 the stage gets a leg of its own.
        image_bytes: size of an image to write beside it; 0 for none.
        sleep_s: pretended work per partition, seconds.
        fail_on: raise on the partition that holds this row's text.
        fail_device: raising leaves a device behind that refuses whatever its process does next.
        fail_times: how often to raise before it works, counted in ``count_in``; 0: always.
        count_in: folder in which attempts leave a file.
        out_of_reach: rows with these texts stop as ``timeout``; the weather, so no part of what
            the stage is.
    """

    writes_as: str = "length"
    num_cpus: float = 0.0
    image_bytes: int = 0
    sleep_s: float = 0.0
    fail_on: str | None = None
    fail_device: bool = False
    fail_times: int = 0
    count_in: Path | None = None
    out_of_reach: tuple[str, ...] = tuning(())

    @property
    def reads(self) -> tuple[str, ...]:
        """The texts."""
        return ("texts",)

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The number, and the image if any."""
        fields = [pa.field(self.writes_as, pa.int64())]
        return tuple([*fields, columns.IMAGE] if self.image_bytes else fields)

    @property
    def resources(self) -> Resources:
        """As declared."""
        return Resources(num_cpus=self.num_cpus, key=self.writes_as if self.num_cpus else "")

    @property
    def label(self) -> str:
        """The column's name."""
        return self.writes_as

    def build(self) -> FakeMap:
        """Build the stage."""
        return FakeMap(self)


class FakeMap(MapStage):
    """See ``FakeMapConfig``."""

    _device_failed = False

    def __init__(self, config: FakeMapConfig) -> None:
        self._config = config

    def __call__(self, rows: pa.Table) -> Mapped:
        """Add the columns."""
        config = self._config
        if FakeMap._device_failed:
            raise DeviceFailed("the pretended device has failed before")
        time.sleep(config.sleep_s)
        firsts = [texts[0] if texts else "" for texts in rows["texts"].to_pylist()]
        if config.fail_on in firsts and self._still_fails():
            if config.fail_device:
                FakeMap._device_failed = True
                raise DeviceFailed(f"the pretended device failed on {config.fail_on!r}")
            raise RuntimeError(f"asked to fail on {config.fail_on!r}")
        values = {config.writes_as: pa.array([len(text) for text in firsts], pa.int64())}
        if config.image_bytes:
            filler = b"\xff\xd8" + bytes(config.image_bytes - 2)
            values["image"] = pa.array([filler] * rows.num_rows, pa.binary())
        reasons = ["timeout" if text in config.out_of_reach else None for text in firsts]
        added = columns.append_columns(rows, values, config.writes)
        return Mapped(added, pa.array(reasons, pa.string()))

    def _still_fails(self) -> bool:
        folder = self._config.count_in
        if folder is None or not self._config.fail_times:
            return True
        folder.mkdir(parents=True, exist_ok=True)
        tries = len(list(folder.iterdir()))
        (folder / str(tries)).touch()
        return tries < self._config.fail_times


class FakeCaptionerConfig(MapConfig):
    """Appends one synthetic text a row: the uid's first letters."""

    num_cpus: float = 1.0

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The text columns."""
        return columns.TEXT_FIELDS

    @property
    def resources(self) -> Resources:
        """As declared."""
        return Resources(num_cpus=self.num_cpus, key="captioner" if self.num_cpus else "")

    def build(self) -> FakeCaptioner:
        """Build the stage."""
        return FakeCaptioner()


class FakeCaptioner(MapStage):
    """See ``FakeCaptionerConfig``."""

    def __call__(self, rows: pa.Table) -> Mapped:
        """Append the texts."""
        added = {
            "texts": [uid[:4] for uid in rows["uid"].to_pylist()],
            "text_sources": ["synthetic"] * rows.num_rows,
            "text_models": ["fake"] * rows.num_rows,
            "text_reasons": [None] * rows.num_rows,
        }
        values = {
            field.name: pa.array(
                [
                    [*before, after]
                    for before, after in zip(
                        rows[field.name].to_pylist(), added[field.name], strict=True
                    )
                ],
                field.type,
            )
            for field in columns.TEXT_FIELDS
        }
        return Mapped(columns.append_columns(rows, values, columns.TEXT_FIELDS))


class FakeScorerConfig(MapConfig):
    """Scores a text by a hash of it, with one canary a partition."""

    num_cpus: float = 1.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The texts."""
        return ("texts",)

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """One score column."""
        return (columns.score("fake_itm"),)

    @property
    def resources(self) -> Resources:
        """As declared."""
        return Resources(num_cpus=self.num_cpus, key="scorer" if self.num_cpus else "")

    def build(self) -> FakeScorer:
        """Build the stage."""
        return FakeScorer()


class FakeScorer(MapStage):
    """See ``FakeScorerConfig``."""

    def __call__(self, rows: pa.Table) -> Mapped:
        """Add the scores."""
        field = columns.score("fake_itm")
        values = [[_fraction(text) for text in texts] for texts in rows["texts"].to_pylist()]
        table = columns.append_columns(rows, {"fake_itm": pa.array(values, field.type)}, [field])
        first = rows.slice(0, 1)
        canaries = pa.table(
            [
                first["partition"],
                first["row"],
                first["row"],
                pa.array(["planted"] * first.num_rows, pa.string()),
            ],
            schema=CANARY_KEYS,
        ).append_column("fake_itm", pa.array([0.5] * first.num_rows, pa.float32()))
        return Mapped(table, canaries=canaries)


class FakeFilterConfig(RowFilterConfig):
    """Drops rows whose first text has so few characters, or every row.

    Attributes:
        shorter_than: characters.
    """

    shorter_than: int = 9

    @property
    def reads(self) -> tuple[str, ...]:
        """The texts."""
        return ("texts",)

    def build(self) -> FakeFilter:
        """Build the filter."""
        return FakeFilter(self)


class FakeFilter(RowFilter):
    """See ``FakeFilterConfig``."""

    def __init__(self, config: FakeFilterConfig) -> None:
        self._limit = config.shorter_than

    def __call__(self, rows: pa.Table) -> Verdicts:
        """Judge the rows."""
        short = [
            len(texts[0] if texts else "") < self._limit for texts in rows["texts"].to_pylist()
        ]
        return Verdicts(pa.array(["too_short" if s else None for s in short], pa.string()))


class FakeTextFilterConfig(TextFilterConfig):
    """Objects to texts that end in 3."""

    def build(self) -> FakeTextFilter:
        """Build the filter."""
        return FakeTextFilter()


class FakeTextFilter(TextFilter):
    """See ``FakeTextFilterConfig``."""

    def __call__(self, rows: pa.Table) -> pa.Array:
        """Judge the texts."""
        return pa.array(
            [
                ["ends_in_3" if text and text.endswith("3") else None for text in texts]
                for texts in rows["texts"].to_pylist()
            ],
            pa.list_(pa.string()),
        )


class FakeBarrierConfig(BarrierConfig):
    """Keeps the first row of each ``length``, over the whole set."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The column to compare."""
        return ("length",)

    def build(self) -> FakeBarrier:
        """Build the barrier."""
        return FakeBarrier()


class FakeBarrier(Barrier):
    """See ``FakeBarrierConfig``."""

    def sketch(self, rows: pa.Table) -> pa.Table:
        """Return the keys and the length."""
        return rows.select([*columns.KEYS, "length"])

    def resolve(
        self, sketches: Sequence[Path], scratch: Path, *, settled: int = 0
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the later rows of each length; settled rows come first anyway."""
        seen: set[int] = set()
        for path in sketches:
            sketch = pq.read_table(path)
            later = []
            for row, length in zip(
                sketch["row"].to_pylist(), sketch["length"].to_pylist(), strict=True
            ):
                if length in seen:
                    later.append({"row": row, "reason": "same_length", "detail": str(length)})
                seen.add(length)
            if later:
                number = pc.min(sketch["partition"]).as_py()
                yield number, pa.Table.from_pylist(later, schema=VERDICT_SCHEMA)


def _fraction(text: str) -> float:
    return int(hashlib.md5(text.encode()).hexdigest()[:6], 16) / 0xFFFFFF


_FAMILIES = {
    "map": "download",
    "row_filter": "filters",
    "text_filter": "text_filters",
    "barrier": "dedup",
}


def fake_plan(
    source: FakeSourceConfig,
    *stages: MapConfig | RowFilterConfig | TextFilterConfig | BarrierConfig,
) -> Plan:
    """Compile a plan of configs, without a recipe."""
    plans = []
    for index, config in enumerate(stages):
        kind = type(config).__name__.removesuffix("Config").lower()
        name = config.label or kind
        plans.append(StagePlan(_FAMILIES[config.role], kind, name, config, f"stages[{index}]"))
    first = StagePlan("sources", "fake", "source", source, "source")
    return compile_plan(first, source.build().schema(), plans)
