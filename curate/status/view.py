"""The state of a run, a training or a loop, as a person sees it on a terminal."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from curate.amounts import clock_text, size_text

_STATES = {
    "running": "running",
    "finished": "finished",
    "stopped": "stopped; the same command goes on",
    "failed": "failed",
    "killed": "killed: its process is gone and has not said goodbye; the same command goes on",
    "unfinished": "unfinished, nobody works on it",
}
_BAD = ("failed", "killed")
_MOST_REASONS = 4
_MOST_WORKERS = 4


def view(facts: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the lines and tables that show a state; see ``Follower.facts``."""
    if facts["kind"] == "training":
        yield from _training(facts)
    elif facts["kind"] == "loop":
        yield from _loop(facts)
    else:
        yield from _run(facts)


# -- runs ----------------------------------------------------------------------------------------


def _run(facts: Mapping[str, Any]) -> Iterator[RenderableType]:
    rows = f"{facts['rows']:,} rows in {facts['partitions']:,} partitions"
    more = "" if facts["listed"] else " so far"
    yield _head(facts, facts["run"], f"{rows}{more}")
    said = facts["progress"] or {}
    if facts["state"] == "running" and said:
        yield _now(said)
    yield _steps(facts)
    if facts["state"] == "running" and said:
        yield from _workers(said)
    yield from _reasons(facts)
    if facts["stalled"]:
        yield Text(f"stalled: {facts['stalled']}", style="yellow")
    for entry in facts["quarantined"]:
        text = f"set aside {entry['where']} in {entry['leg']}: {entry['error']}"
        yield Text(text, style="yellow")
    for name, counts in facts["selections"].items():
        yield Text(f"selection {name!r}: {counts['selected']:,} of {counts['texts']:,} texts")
    if facts["trainings"]:
        yield _trainings(facts["trainings"])


def _head(facts: Mapping[str, Any], folder: str, what: str) -> Text:
    owner, state = facts["owner"], facts["state"]
    said = _STATES[state]
    if owner:
        said = f"running as process {owner['pid']} on {owner['host']}"
    if facts["said"]:
        said += f" ({facts['said']})"
    style = "bold red" if state in _BAD else "bold"
    return Text(f"{facts['name']}: {folder}, {what}, {said}", style=style)


def _now(said: Mapping[str, Any]) -> Text:
    """What is being done now, where, since when, and how long ago the last commit was."""
    now = time.time()
    parts = [said["doing"]]
    step = said.get("step")
    if step:
        of = "" if step["total"] is None else f" of {step['total']:,}"
        parts[0] += f" ({step['done']:,}{of})"
    parts += [said["engine"], f"for {clock_text(now - said['began'])}"]
    if said["committed_at"] is not None:
        parts.append(f"last commit {clock_text(now - said['committed_at'])} ago")
    return Text(", ".join(part for part in parts if part), style="dim")


def _steps(facts: Mapping[str, Any]) -> Table:
    running = facts["state"] == "running"
    table = Table(box=None, pad_edge=False, header_style="dim")
    last = ("rows/s", "busy", "device", "left") if running else ("written",)
    for name in ("step", "partitions", "rows in", "dropped", "rows on", *last, ""):
        if name == "step":  # the one that gives way on a narrow terminal
            table.add_column(name, overflow="ellipsis", min_width=10)
        else:
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for step in (*facts["steps"], *facts["added"]):
        dropped = sum(sum(reasons.values()) for reasons in step["dropped"].values())
        of = "" if step["complete"] or "expected" not in step else f"/{step['expected']:,}"
        table.add_row(
            step["step"] + ("" if "expected" in step else " (added)"),
            f"{step['partitions']:,}{of}",
            f"{step['rows_in']:,}",
            f"{dropped:,}",
            f"{step['rows_out']:,}",
            *(_rates(facts, step) if running else (size_text(step["bytes_written"]),)),
            "done" if step["complete"] else "",
        )
    return table


def _rates(facts: Mapping[str, Any], step: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Rows a second, the share of the workers' time, the models' share, and time left."""
    rates = step.get("rates")
    if rates is None:
        return "", "", "", ""
    mine = [one for one in facts["progress"]["workers"] if one["leg"] == step["step"]]
    count = max(1, sum(one["state"] != "starting" for one in mine))
    device = f"{min(1.0, rates['device'] / count):.0%}" if step["device_seconds"] else ""
    left = "" if step["left_s"] is None else clock_text(step["left_s"])
    return (
        f"{rates['rows_per_s']:,.1f}",
        f"{min(1.0, rates['busy'] / count):.0%}",
        device,
        left + ("+" if left and not facts["listed"] else ""),
    )


def _workers(said: Mapping[str, Any]) -> Iterator[Text]:
    """A line a leg: how many workers there are, and what they are working on."""
    by_leg: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in said["workers"]:
        by_leg[one["leg"]].append(one)
    now = time.time()
    for leg, workers in by_leg.items():
        counts = [
            f"{number} {state}"
            for state in ("working", "waiting", "starting", "retiring")
            if (number := sum(one["state"] == state for one in workers))
        ]
        at = [
            f"{one['partition']} for {clock_text(now - one['since'])}"
            for one in workers
            if one["partition"] is not None
        ]
        more = f" and {len(at) - _MOST_WORKERS} more" if len(at) > _MOST_WORKERS else ""
        doing = f": partition {', '.join(at[:_MOST_WORKERS])}{more}" if at else ""
        yield Text(f"workers of {leg}: {', '.join(counts)}{doing}", style="dim")


def _reasons(facts: Mapping[str, Any]) -> Iterator[Text]:
    """A line a stage: why rows stopped there, the most frequent reasons first."""
    for step in facts["steps"]:
        for stage in step["step"].split("+"):
            reasons = step["dropped"].get(stage, {})
            ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
            named = ", ".join(f"{name} {count:,}" for name, count in ranked[:_MOST_REASONS])
            rest = sum(count for _, count in ranked[_MOST_REASONS:])
            others = f", others {rest:,}" if rest else ""
            if reasons:
                yield Text(f"dropped by {stage}: {named}{others}")


# -- trainings and loops ---------------------------------------------------------------------------


def _training(facts: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield _head(facts, facts["training"], _step_of(facts))
    if facts["doing"]:
        yield Text(facts["doing"], style="dim")
    parts = [f"{name} {value:.3f}" for name, value in facts["losses"].items()]
    if facts["images_per_s"] is not None:
        parts += [f"{facts['images_per_s']:,.1f} images/s", f"rate {facts['lr']:.2e}"]
    if facts["data_wait"]:
        parts.append(f"waits for data {facts['data_wait']:.0%}")
    if facts["left_s"] is not None:
        parts.append(f"{clock_text(facts['left_s'])} left")
    if parts:
        yield Text(", ".join(parts))


def _loop(facts: Mapping[str, Any]) -> Iterator[RenderableType]:
    said = facts["progress"] or {}
    yield _head(facts, facts["loop"], f"{len(facts['trainings'])} trainings")
    if facts["state"] == "running":
        yield _now(said)
    if facts["trainings"]:
        yield _trainings(facts["trainings"])
    if facts["run"] is not None:
        yield Text()
        yield from _run(facts["run"])


def _trainings(trainings: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("training", "steps", "loss", "images/s", "left", ""):
        table.add_column(name, justify="left" if name in ("training", "") else "right")
    for one in trainings:
        loss, speed = one["losses"].get("loss"), one["images_per_s"]
        table.add_row(
            one["training"].rpartition("/")[2],
            _step_of(one).removeprefix("step "),
            "" if loss is None else f"{loss:.3f}",
            "" if speed is None else f"{speed:,.1f}",
            "" if one["left_s"] is None else clock_text(one["left_s"]),
            one["state"],
        )
    return table


def _step_of(facts: Mapping[str, Any]) -> str:
    of = "" if facts["steps"] is None else f" of {facts['steps']:,}"
    return f"step {facts['step']:,}{of}"
