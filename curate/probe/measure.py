"""Takes a sample through a recipe in a folder of its own, and notes what everything took."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
from pydantic import ValidationError

from curate.core.atomic import write_json
from curate.core.config import SourceConfig
from curate.core.errors import SourceError, StageError
from curate.core.machine import cores
from curate.core.plan import LegPlan, Node, Plan
from curate.core.scratch import user_cache
from curate.core.selection import Selection
from curate.core.stage import SourceFile
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.base import Failure
from curate.engine.timed import TimedEngine
from curate.outcome import Reporter
from curate.passes import PassRunner
from curate.probe.follows import Follows, size_of
from curate.probe.gather import legs_measured
from curate.probe.measured import Measured, StepMeasured
from curate.probe.sample import SampleConfig, SampleSource, chunk_sizes, draw
from curate.recipe import Recipe, load
from curate.run import practice_list, versions, with_practice_web

#: The draw is the same each time, so that two probes differ by the machine alone.
SEED = 0
#: A source of fewer is not probed.
LEAST_ROWS = 8


def measure(
    path: Path,
    sets: Sequence[str],
    rows: int,
    say: Callable[[str], None],
    *,
    cache: Path | None = None,
    again: bool = False,
) -> tuple[Measured, Plan]:
    """Take a sample of a recipe's rows through it; nothing of the sample is left behind.

    Args:
        path: the recipe.
        sets: overrides of its settings.
        rows: how many; all of them where the source has no more.
        say: told of progress.
        cache: folder where figures are kept; those of the same recipe, list, versions and machine
            are taken from there. None measures anew and keeps nothing.
        again: measure anew what is kept there.

    Returns:
        The figures, and the recipe's plan.

    Raises:
        CurateError: as a run would; a stage that fails on a chunk too.
    """
    with tempfile.TemporaryDirectory(prefix="curate-probe-") as folder:
        recipe = load(path, output=Path(folder) / "run", sets=sets)
        practice_list(recipe)
        with with_practice_web(recipe) as served:
            probe = _Probe(served, rows, say)
            kept = None if cache is None else cache / f"{probe.identity(folder)}.json"
            measured = None if again else _kept(kept)
            if measured is None:
                measured = probe.run()
                if kept is not None:
                    write_json(kept, measured.model_dump(mode="json"))
            return measured, served.plan()


def cache_folder() -> Path:
    """Return where figures are kept, below the user's cache (``XDG_CACHE_HOME``)."""
    return user_cache() / "curate" / "probes"


def _kept(path: Path | None) -> Measured | None:
    """Return figures that were kept; None where there are none, or of another version."""
    try:
        return None if path is None else Measured.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def list_source(recipe: Recipe, spool: Path) -> list[SourceFile]:
    """Return the files of a recipe's source.

    Raises:
        SourceError: it cannot be read, or holds no row.
    """
    files = list(source_of(recipe).build().files(spool, {}))
    if sum(file.rows for file in files) < LEAST_ROWS:
        raise SourceError(
            f"{recipe.label}: a source of fewer than {LEAST_ROWS} rows is quicker run than probed"
        )
    return files


def source_of(recipe: Recipe) -> SourceConfig:
    """Return the source's config."""
    config = recipe.source.config
    assert isinstance(config, SourceConfig)
    return config


class _Watch(Reporter):
    """Notes how long barriers take; a chunk that fails ends the probe."""

    def __init__(self) -> None:
        self.barriers: dict[str, list[tuple[float, int]]] = {}
        self._begun = 0.0

    def barrier(self, node: Node, dropped: int | None) -> None:
        """Note the time from its beginning to its end."""
        if dropped is None:
            self._begun = time.perf_counter()
            return
        taken = time.perf_counter() - self._begun
        self.barriers.setdefault(node.stages[0], []).append((taken, dropped))

    def set_aside(self, leg: LegPlan, failure: Failure) -> None:
        """End the probe: a run would set the partition aside, and the figures be of no use."""
        raise StageError(f"the probe failed as the run would: {failure.error}\n{failure.traceback}")


class _Probe:
    """One probe of a recipe whose output is a scratch folder."""

    def __init__(self, recipe: Recipe, rows: int, say: Callable[[str], None]) -> None:
        assert isinstance(recipe.output, Path)
        self._recipe = recipe
        self._say = say
        self._root = recipe.output
        self._plan = recipe.plan()
        self._source = source_of(recipe)
        begun = time.perf_counter()
        self._files = list_source(recipe, self._root.parent / "listing")
        self._list_s = time.perf_counter() - begun
        self._total = sum(file.rows for file in self._files)
        self._sizes = chunk_sizes(min(rows, self._total), most=self._source.partition_rows)
        count = len(self._sizes)
        self._turns = sorted({1, (1 + count) // 2, count})
        self._engine = TimedEngine()
        self._watch = _Watch()
        self._store = RunStore(self._root)
        self._follows = Follows(recipe, self._root)

    def run(self) -> Measured:
        """Work on the warming chunk, then on half of the rest, then on all."""
        read_s = self._read_seconds()
        inner = self._source.build()
        source = SampleSource(inner, self._files, draw(self._files, self._sizes, SEED))
        config = SampleConfig.of(source, max(self._sizes))
        self._plan = replace(self._plan, source=config)
        self._store.write_plan(self._plan.nodes, self._plan.schema, {"name": self._recipe.name})
        # a fresh register each time finds the chunks of the last time and the new ones behind
        selection: Selection | None = None
        try:
            for shown in self._turns:
                source.shown = shown
                self._say(f"probe: {sum(self._sizes[:shown]):,} of {sum(self._sizes):,} rows")
                PassRunner(self._plan, self._store, lambda: self._engine, self._watch).run()
                selection = self._follows.run(sum(self._sizes[:shown]))
        finally:
            self._engine.close()
        return self._measured(read_s, selection)

    def identity(self, scratch: str) -> str:
        """Return a name for what decides the figures: recipe, list, versions, machine."""
        raw = json.dumps(dict(self._recipe.raw), sort_keys=True, default=str)
        made_from = [
            raw.replace(scratch, ""),
            [node.fingerprint for node in self._plan.nodes],
            [[file.name, file.rows, file.digest] for file in self._files],
            self._sizes,
            versions(),
            platform.node(),
            cores(),
        ]
        return hashlib.blake2b(json.dumps(made_from).encode(), digest_size=16).hexdigest()

    def _read_seconds(self) -> float:
        """Return what reading a partition takes where the one before it has just been read."""
        source, size = self._source.build(), self._source.partition_rows
        file = max(self._files, key=lambda file: file.rows)
        middle = file.rows // size // 2 * size
        before = max(0, middle - size)
        source.read(file, before, min(before + size, file.rows))
        stop = min(middle + size, file.rows)
        begun = time.perf_counter()
        source.read(file, middle, stop)
        return (time.perf_counter() - begun) * min(size, file.rows) / max(1, stop - middle)

    # -- figures ---------------------------------------------------------------------------------

    def _measured(self, read_s: float, selection: Selection | None) -> Measured:
        table = CommittedTable.open(self._root)
        counted = [number for number in table.partitions if number]  # 0 has warmed up
        partition_rows = self._source.partition_rows
        selected = None
        if selection is not None:
            selected = [
                int(pc.sum(pc.is_null(selection.decisions(n)["rejected"])).as_py() or 0)
                for n in counted
            ]
        texts = [table.texts(n, flat=["source"]) for n in counted]
        recipe = self._recipe
        device, gpus = _device()
        return Measured(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            device=device,
            gpus=gpus,
            rows=self._total,
            partitions=sum(-(-file.rows // partition_rows) for file in self._files),
            partition_rows=partition_rows,
            list_s=self._list_s,
            read_s=read_s,
            sizes=self._sizes[1:],
            legs=legs_measured(self._plan, self._engine, self._sizes),
            steps=[*self._barriers(), *self._follows.measured()],
            rows_kept=[len(table.store.live_rows(table.nodes, n)) for n in counted],
            texts=[part.num_rows for part in texts],
            selected=selected,
            left_out=[
                name for name in ("pretrain", "evaluate") if getattr(recipe, name) is not None
            ],
        )

    def _barriers(self) -> list[StepMeasured]:
        rows = [sum(self._sizes[:count]) for count in self._turns]
        found = []
        for one in self._plan.passes:
            if one.barrier is None:
                continue
            name = one.barrier.node.stages[0]
            times = self._watch.barriers[name]
            size = size_of(self._root / one.barrier.node.folder)
            before = self._plan.nodes[: self._plan.nodes.index(one.barrier.node)]
            rows_in = sum(
                len(self._store.live_rows(before, number)) for number in range(len(self._sizes))
            )
            found.append(
                StepMeasured(
                    name=name,
                    after_pass=one.index,
                    rows=(rows[-2], rows[-1]),
                    seconds=(times[-2][0], times[-1][0]),
                    num_bytes=(0, size),
                    rows_in=rows_in,
                    rows_out=rows_in - times[-1][1],
                )
            )
        return found


def _device() -> tuple[str, int]:
    """Return what the models of this process ran on, and how many of them there are."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name()), torch.cuda.device_count()
    return "CPU", 0
