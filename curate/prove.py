"""The proof: the same training, on sets made in different ways, at equal steps and several seeds.

Source of the arms: BLIP (arXiv 2201.12086), tables 1 (raw, filter, captioner, both), 2 (nucleus
against beam), 4 (shared against separate captioner and filter), 12 (longer training) and 13 (a new
model against going on); DataComp's CLIP-score filter (arXiv 2304.14108); SVD's and Emu's last stage
on the small best set (arXiv 2311.15127, 2309.15807).

Captioner and filter come from the raw arm's model of the first seed, fine-tuned on clean pairs.
Every model starts from the recipe's own start and takes the same number of steps; everything is
kept, so that an experiment that was stopped goes on and one that is done costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.core.atomic import write_json, write_whole
from curate.core.config import SelectorConfig
from curate.core.errors import Problem, RecipeError
from curate.core.plan import stage_identity
from curate.core.selection import Selection, select
from curate.core.selection_among import Among, RandomShare
from curate.core.stage import Selector
from curate.core.table import CommittedTable
from curate.core.validation import validated
from curate.evaluate.intervals import Interval, difference_interval, mean_interval
from curate.inspection.whiskers import Whisker, whiskers
from curate.loop import RAW, Loop, table_line
from curate.loop_config import ArmConfig, ProveConfig
from curate.outcome import Reporter
from curate.pretrain.config import PretrainConfig
from curate.pretrain.sections import StartConfig
from curate.progress import RunProgress
from curate.recipe_files import merged
from curate.trained import evaluated

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
    """

    name: str
    output: Path
    seeds: tuple[int, ...]
    pool: tuple[int, int]
    arms: tuple[Arm, ...]
    differences: Mapping[tuple[str, str], Mapping[str, Interval]]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "seeds": list(self.seeds),
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


def prove(config: ProveConfig, reporter: Reporter) -> Proof:
    """Run the experiment, or go on with it.

    Raises:
        RecipeError: the recipe does not fit together.
        CurateError: whatever a run or a training raises; what is done stays.
    """
    progress = RunProgress(reporter, kind="loop", name=config.name)
    with progress.telling(config.output):
        proof = _Experiment(config, progress).run()
        write_json(proof.output / "proof.json", proof.to_json())
        for name, text in (("proof.md", table_of(proof)), ("proof.svg", chart_of(proof))):
            data = text.encode()
            write_whole(proof.output / name, lambda file, data=data: file.write(data))  # type: ignore[misc]
    return proof


class _Experiment:
    def __init__(self, config: ProveConfig, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._loop = Loop(config, reporter)
        # said before anything runs: settings of arms that do not fit the training
        self._trainings = {name: self._training(name, arm) for name, arm in config.arms.items()}

    def run(self) -> Proof:
        """Train every arm with every seed, and compare them."""
        config = self._config
        self._raw = self._loop.raw()
        self._raw_models = {
            seed: self._loop.pretrained(self._seeded(RAW, seed), *self._raw, f"{RAW}-{seed}")
            for seed in config.seeds
        }
        first = self._raw_models[config.seeds[0]]
        captioner = self._loop.finetuned(config.captioner, first, "captioner", "the captioner")
        judge = self._loop.finetuned(config.filter, first, "filter", "the filter")
        found: dict[str, Arm] = {}
        waiting = dict(config.arms)
        while waiting:  # an arm that draws as many texts as another comes after it
            name = next(n for n, arm in waiting.items() if arm.like is None or arm.like in found)
            found[name] = self._arm(name, waiting.pop(name), (captioner, judge), found)
        arms = tuple(found[name] for name in config.arms)
        return Proof(
            config.name,
            config.output,
            config.seeds,
            self._pool,
            arms,
            {pair: self._difference(found[pair[0]], found[pair[1]]) for pair in config.compare},
        )

    # -- one arm ---------------------------------------------------------------------------------

    def _arm(
        self, name: str, arm: ArmConfig, tuned: tuple[Path, Path], found: Mapping[str, Arm]
    ) -> Arm:
        self._reporter.say(f"arm {name}")
        if name == RAW:
            (table, selection), threshold = self._raw, None
        else:
            if arm.shared:
                tuned = (self._joint(), self._joint())
            table = self._loop.labelled(*tuned, captions=arm.captions)
            selection, threshold = self._selection(name, arm, table, found)
        hits: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
        for seed in self._config.seeds:
            training = self._seeded(name, seed)
            if arm.continued:
                start = StartConfig.model_validate({"from": self._raw_models[seed]})
                training = training.model_copy(update={"start": start})
            model = self._loop.pretrained(training, table, selection, f"{name}-{seed}")
            said = evaluated(self._config.evaluate, model, self._reporter)["retrieval"]
            self._pool = (said["num_images"], said["num_texts"])
            self._owners = np.asarray(said["ranks"]["owners"])
            hits["t2i"].append(np.asarray(said["ranks"]["of_texts"]) < 1)
            hits["i2t"].append(np.asarray(said["ranks"]["of_images"]) < 1)
        stacked = {way: np.stack(rows) for way, rows in hits.items()}
        steps = (training.steps or 0) + (training.final.steps or 0 if training.final else 0)
        return Arm(
            name,
            int(selection.facts["rows_kept"]),
            dict(selection.facts["selected"]),
            threshold,
            steps,
            {way: mean_interval(stacked[way], self._owners_of(way)) for way in WAYS},
            stacked,
        )

    def _selection(
        self, name: str, arm: ArmConfig, table: CommittedTable, found: Mapping[str, Arm]
    ) -> tuple[Selection, float | None]:
        inner: Selector | None = None
        threshold = None
        settings: dict[str, Any] = {"keep": list(arm.keep)}
        if arm.select is not None:
            plan, _, threshold = self._loop.selector(arm.select, table)
            assert isinstance(plan.config, SelectorConfig)
            inner = plan.config.build()
            settings |= stage_identity(plan)
        elif arm.like is not None:
            share = self._share(found[arm.like], self._config.arms[arm.like], table)
            inner = RandomShare(share, seed=0)
            settings |= dict(inner.summary())
        selection, _ = select(table, Among(inner, arm.keep), settings, name=f"arm-{name}")
        return selection, threshold

    @staticmethod
    def _share(other: Arm, config: ArmConfig, table: CommittedTable) -> float:
        """Return the share of its texts that another arm keeps."""
        total = sum(
            int(np.isin(texts["source"].to_pylist(), config.keep).sum())
            for texts in table.each_texts()
        )
        return sum(other.texts.values()) / max(1, total)

    def _joint(self) -> Path:
        """Return one model fine-tuned to caption and to judge, as BLIP's table 4 shares them."""
        config = self._config
        kinds = {objective.kind for objective in config.filter.objectives}
        extra = [one for one in config.captioner.objectives if one.kind not in kinds]
        both = config.filter.model_copy(
            update={
                "name": f"{config.filter.name}-shared",
                "objectives": (*config.filter.objectives, *extra),
            }
        )
        first = self._raw_models[config.seeds[0]]
        return self._loop.finetuned(both, first, "shared", "captioner and filter in one")

    # -- trainings -------------------------------------------------------------------------------

    def _training(self, name: str, arm: ArmConfig) -> PretrainConfig:
        """Return an arm's training, at the same number of steps as the others'."""
        base = self._config.pretrain.model_dump(mode="json", by_alias=True, exclude_unset=True)
        data = merged(base, arm.train)
        steps = round((self._config.pretrain.steps or 0) * arm.steps_scale)
        last = data.get("final") or {}
        if data.get("epochs") or (last and "steps" not in last):
            said = "lengths are given in 'steps', so that every arm has the same number"
            raise RecipeError(self._config.name, [Problem(said, f"arms.{name}.train")])
        left = steps - int(last.get("steps", 0))
        if left < 1:
            said = f"a last stage of {last['steps']} steps leaves none of {steps} before it"
            raise RecipeError(self._config.name, [Problem(said, f"arms.{name}.train.final")])
        data["steps"] = left
        return validated(PretrainConfig, data, label=self._config.name, at=("arms", name, "train"))

    def _seeded(self, name: str, seed: int) -> PretrainConfig:
        return self._trainings[name].model_copy(update={"seed": seed})

    # -- comparisons -----------------------------------------------------------------------------

    def _owners_of(self, way: str) -> np.ndarray:
        return self._owners if way == "t2i" else np.arange(self._pool[0])

    def _difference(self, better: Arm, worse: Arm) -> dict[str, Interval]:
        return {
            way: difference_interval(better.hits[way], worse.hits[way], self._owners_of(way))
            for way in WAYS
        }


def table_of(proof: Proof) -> str:
    """Return the arms and the differences as Markdown."""
    images, texts = proof.pool
    seeds = ", ".join(str(seed) for seed in proof.seeds)
    lines = [
        f"Recall@1 in per cent with 95% intervals (bootstrap over pictures and seeds); {images:,} "
        f"images and {texts:,} texts; seeds {seeds}.",
        "",
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


def _with_interval(one: Interval, *, sign: bool = False) -> str:
    form = "{:+.1f}" if sign else "{:.1f}"
    value, low, high = (form.format(100 * number) for number in (one.value, one.low, one.high))
    return f"{value} ({low} to {high})"
