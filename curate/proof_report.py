"""What an experiment came to: its arms, their differences, a table and a chart of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.core.atomic import write_json, write_whole
from curate.evaluate.intervals import Interval
from curate.inspection.whiskers import Whisker, whiskers
from curate.loop import table_line

#: Directions of retrieval: text to image, and image to text.
WAYS = ("t2i", "i2t")


@dataclass(frozen=True)
class Arm:
    """One arm, trained with every seed.

    Attributes:
        name: in the recipe.
        pictures: with a kept text.
        texts: kept, by source.
        threshold: set by the canaries; None where nothing was judged.
        steps: of each training.
        recall: recall@1 by direction, with its interval.
        hits: whether each item was found, [S, N] by direction.
    """

    name: str
    pictures: int
    texts: Mapping[str, int]
    threshold: float | None
    steps: int
    recall: Mapping[str, Interval]
    hits: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Proof:
    """What the experiment came to.

    Attributes:
        name: of the recipe.
        output: its folder.
        seeds: of the trainings.
        pool: images and texts of the evaluation.
        arms: in the recipe's order.
        differences: of two arms, by direction.
        missing: arms that are still to come.
    """

    name: str
    output: Path
    seeds: tuple[int, ...]
    pool: tuple[int, int]
    arms: tuple[Arm, ...]
    differences: Mapping[tuple[str, str], Mapping[str, Interval]]
    missing: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "missing": list(self.missing),
            "pool": {"images": self.pool[0], "texts": self.pool[1]},
            "arms": {
                arm.name: {
                    "pictures": arm.pictures,
                    "texts": dict(arm.texts),
                    "threshold": arm.threshold,
                    "steps": arm.steps,
                    "recall@1": {way: vars(arm.recall[way]) for way in WAYS},
                }
                for arm in self.arms
            },
            "differences": [
                {"of": list(pair), **{way: vars(found[way]) for way in WAYS}}
                for pair, found in self.differences.items()
            ],
        }


def write_down(proof: Proof) -> None:
    """Write ``proof.json``, ``proof.md`` and ``proof.svg`` into the experiment's folder.

    Raises:
        StorageFull: no room left.
        StoreError: no permission.
    """
    write_json(proof.output / "proof.json", proof.to_json())
    for name, text in (("proof.md", table_of(proof)), ("proof.svg", chart_of(proof))):
        data = text.encode()
        write_whole(proof.output / name, lambda file, data=data: file.write(data))  # type: ignore[misc]


def table_of(proof: Proof) -> str:
    """Return the arms and the differences as Markdown."""
    images, texts = proof.pool
    seeds = ", ".join(str(seed) for seed in proof.seeds)
    lines = [
        f"Recall@1 in per cent with 95% intervals (bootstrap over pictures and seeds); {images:,} "
        f"images and {texts:,} texts; seeds {seeds}.",
        "",
        *_still(proof),
        table_line(["arm", "pictures", "web", "synthetic", "steps", "t2i R@1", "i2t R@1"]),
        table_line(["---"] * 7),
    ]
    for arm in proof.arms:
        counts = [f"{arm.texts.get(source, 0):,}" for source in ("web", "synthetic")]
        found = [_with_interval(arm.recall[way]) for way in WAYS]
        lines.append(table_line([arm.name, f"{arm.pictures:,}", *counts, f"{arm.steps:,}", *found]))
    lines += ["", table_line(["difference", "t2i", "i2t"]), table_line(["---"] * 3)]
    for (better, worse), found_by_way in proof.differences.items():
        cells = [
            _with_interval(found_by_way[way], sign=True)
            + (" *" if found_by_way[way].excludes_zero else "")
            for way in WAYS
        ]
        lines.append(table_line([f"{better} - {worse}", *cells]))
    return "\n".join([*lines, "", "\\* the interval excludes zero."]) + "\n"


def chart_of(proof: Proof) -> str:
    """Return the differences in text-to-image recall as SVG."""
    rows = []
    for (better, worse), found in proof.differences.items():
        one = found["t2i"]
        points = (100 * number for number in (one.value, one.low, one.high))
        rows.append(Whisker(f"{better} - {worse}", *points))
    return whiskers(rows, title=f"{proof.name}: difference in t2i recall@1", unit=" pp")


def _still(proof: Proof) -> list[str]:
    if not proof.missing:
        return []
    return [f"**Not finished**: still to come {', '.join(proof.missing)}.", ""]


def _with_interval(one: Interval, *, sign: bool = False) -> str:
    form = "{:+.1f}" if sign else "{:.1f}"
    value, low, high = (form.format(100 * number) for number in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"
