"""A prediction as people read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table

from curate.amounts import size_text, time_text
from curate.core.location import StorePath
from curate.probe.measured import Measured
from curate.probe.prediction import Figure, Prediction

_Text = Callable[[float], str]


#: Of the tables: figures with their intervals are of no use broken.
_WIDTH = 120


def free_bytes(output: StorePath) -> int | None:
    """Return the room on the disk of a folder, there or not yet; None on an object store."""
    if not isinstance(output, Path):
        return None
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def print_prediction(
    console: Console, measured: Measured, said: Prediction, output: StorePath
) -> None:
    """Print a prediction: a line a stage, then what it all comes to."""
    sample = sum(measured.sizes)
    console.print(
        f"  {measured.rows:,} rows in {measured.partitions:,} partitions; by {sample:,} of them, "
        f"measured {measured.when} on {measured.device}",
        highlight=False,
    )
    for table in (_stages(said), _steps(said)):
        if table.row_count:
            console.print(table, width=_WIDTH, crop=False)
    console.print(
        f"\ntime     {_with_range(said.seconds, time_text)} on {_where(said)}", highlight=False
    )
    console.print(f"pictures {_with_range(said.rows_kept, _count)}", highlight=False)
    pairs = "" if said.selected is None else f", selected {_with_range(said.selected, _count)}"
    console.print(f"texts    {_with_range(said.texts, _count)}{pairs}", highlight=False)
    room = free_bytes(output)
    free = "" if room is None else f"; {size_text(room)} free"
    console.print(
        f"disk     {_with_range(said.num_bytes, size_text)}, "
        f"{size_text(said.bytes_a_pair)} a pair{free}",
        highlight=False,
    )
    held = f"{said.cpu_hours:,.2f} CPU hours"
    if said.cluster.gpus:
        held = f"{said.gpu_hours:,.2f} GPU hours, {held}"
    cost = f": {said.cost:,.2f}" if said.cost else ""
    console.print(f"held     {held}{cost}", highlight=False)
    for caution in cautions(said, output):
        console.print(f"note     {caution}", style="yellow", highlight=False)


def cautions(said: Prediction, output: StorePath) -> list[str]:
    """Return what the figures do not cover, and a disk that is too small."""
    found = list(said.cautions)
    room = free_bytes(output)
    if room is None:
        found.append("measured on a local disk: requests to the object store take longer")
    elif said.num_bytes.high > room:
        found.append(
            f"the disk of {output} may be too small: {size_text(said.num_bytes.high)} are needed "
            f"and {size_text(room)} are free"
        )
    return found


def _stages(said: Prediction) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    priced = any(stage.cost for stage in said.stages)
    names = ["  stage", "rows in", "go on", "starting", "working", "CPU h", "GPU h", "disk"]
    for name in [*names, *(["cost"] if priced else [])]:
        side: JustifyMethod = "left" if name == "  stage" else "right"
        table.add_column(name, justify=side, no_wrap=True)
    for stage in said.stages:
        share = stage.survival
        go_on = "" if stage.name == "commit" else f"{share.value:.0%} ({_range(share, _percent)})"
        many = f" x{stage.workers}" if stage.workers > 1 else ""
        table.add_row(
            f"  {stage.name}{many}",
            _count(stage.rows_in),
            go_on,
            time_text(stage.start_s) if stage.start_s else "",
            f"{time_text(stage.busy_s.value)} ({_range(stage.busy_s, time_text)})",
            f"{stage.cpu_hours:.2f}",
            f"{stage.gpu_hours:.2f}" if stage.gpu_hours else "",
            size_text(stage.num_bytes) if stage.num_bytes else "",
            *([f"{stage.cost:,.2f}"] if priced else []),
        )
    return table


def _steps(said: Prediction) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("  step", "go on", "time", "disk"):
        side: JustifyMethod = "left" if name == "  step" else "right"
        table.add_column(name, justify=side, no_wrap=True)
    for step in said.steps:
        go_on = "" if step.survival is None else f"at most {step.survival:.0%}"
        table.add_row(f"  {step.name}", go_on, time_text(step.seconds), size_text(step.num_bytes))
    return table


def _where(said: Prediction) -> str:
    gpus = f", {said.cluster.gpus:g} GPUs" if said.cluster.gpus else ""
    return f"the {said.engine} engine with {said.cluster.cpus:g} CPUs{gpus}"


def _with_range(figure: Figure, text: _Text) -> str:
    return f"{text(figure.value)} ({_range(figure, text)})"


def _range(figure: Figure, text: _Text) -> str:
    return f"{text(figure.low)} to {text(figure.high)}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _percent(share: float) -> str:
    return f"{share:.0%}"
