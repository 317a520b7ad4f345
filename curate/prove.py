"""The proof: the same training, on sets made in different ways, at equal steps and several seeds.

Source of the arms: BLIP (arXiv 2201.12086), tables 1 (raw, filter, captioner, both), 2 (nucleus
against beam), 4 (shared against separate captioner and filter), 12 (longer training) and 13 (a new
model against going on); DataComp's CLIP-score filter (arXiv 2304.14108); SVD's and Emu's last stage
on the small best set (arXiv 2311.15127, 2309.15807).

Captioner and filter come from one model trained on the raw pairs, fine-tuned on clean pairs.
Every model starts from the recipe's own start and takes the same number of steps; everything is
kept, so that an experiment that was stopped goes on and one that is done costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.core.config import SelectorConfig
from curate.core.errors import Problem, RecipeError
from curate.core.plan import stage_identity
from curate.core.selection import Selection, select
from curate.core.selection_among import Among, RandomShare
from curate.core.stage import Selector
from curate.core.table import CommittedTable
from curate.core.validation import validated
from curate.evaluate.intervals import Interval, difference_interval, mean_interval
from curate.loop import RAW, Loop
from curate.loop_config import ArmConfig, ProveConfig
from curate.outcome import Reporter
from curate.pretrain.config import PretrainConfig
from curate.pretrain.sections import StartConfig
from curate.progress import RunProgress
from curate.proof_report import WAYS, Arm, Proof, write_down
from curate.recipe_files import merged
from curate.side_by_side import SideBySide


def prove(config: ProveConfig, reporter: Reporter) -> Proof:
    """Run the experiment, or go on with it.

    Raises:
        RecipeError: the recipe does not fit together.
        CurateError: whatever a run or a training raises; what is done stays.
    """
    progress = RunProgress(reporter, kind="loop", name=config.name)
    with progress.telling(config.output):
        return _Experiment(config, progress).run()


@dataclass(frozen=True)
class _Set:
    """What an arm is trained on, and the threshold that the canaries set for it, if any."""

    table: CommittedTable
    selection: Selection
    threshold: float | None


def _train(config: ProveConfig, training: PretrainConfig, made: _Set, name: str) -> None:
    """Train and judge one model of an arm, in a process of its own."""
    loop = Loop(config, Reporter())
    model = loop.pretrained(training, made.table, made.selection, name)
    loop.evaluated(config.evaluate, model)


#: Fine-tunings from the base, by the folder of the model: the settings, and what is said.
_Tuning = tuple[PretrainConfig, str]


def _tunings(config: ProveConfig) -> dict[str, _Tuning]:
    """Return what is fine-tuned from the base, by name."""
    found = {
        "filter": (config.filter, "the filter"),
        "captioner": (config.captioner, "the captioner"),
    }
    if any(arm.shared for arm in config.arms.values()):
        found["shared"] = (_joint(config), "captioner and filter in one")
    return found


def _joint(config: ProveConfig) -> PretrainConfig:
    """Return how one model learns to caption and to judge, as BLIP's table 4 shares them."""
    kinds = {objective.kind for objective in config.filter.objectives}
    extra = [one for one in config.captioner.objectives if one.kind not in kinds]
    changes = {
        "name": f"{config.filter.name}-shared",
        "objectives": (*config.filter.objectives, *extra),
    }
    return config.filter.model_copy(update=changes)


def _tune(config: ProveConfig, name: str, base: Path) -> None:
    """Fine-tune one model, in a process of its own."""
    settings, said = _tunings(config)[name]
    Loop(config, Reporter()).finetuned(settings, base, name, said)


class _Experiment:
    def __init__(self, config: ProveConfig, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._loop = Loop(config, reporter)
        self._beside = SideBySide(config.jobs)
        # said before anything runs: settings of arms that do not fit the training
        self._trainings = {name: self._training(name, arm) for name, arm in config.arms.items()}

    def run(self) -> Proof:
        """Train every arm with every seed, and compare them; written down after each arm."""
        config = self._config
        self._raw = self._loop.raw()
        sets = {RAW: _Set(*self._raw, None)}  # first: others may go on from its models
        found: dict[str, Arm] = {}
        with self._beside.stopping():
            self._start(RAW, sets[RAW])
            base = self._base()
            for name in _tunings(config):
                self._begin(name, _tune, config, name, base)
            waiting = {name: arm for name, arm in config.arms.items() if name != RAW}
            while waiting:  # an arm that draws as many texts as another comes after it
                self._judge(sets, found)
                name = next(n for n, arm in waiting.items() if arm.like is None or arm.like in sets)
                sets[name] = self._set(name, waiting.pop(name), base, sets)
                self._start(name, sets[name])
            self._beside.finish()
            self._judge(sets, found)
        return self._proof(found)

    def _judge(self, sets: Mapping[str, _Set], found: dict[str, Arm]) -> None:
        """Write down the arms whose models are not in training elsewhere."""
        for name in [one for one in sets if one not in found and not self._goes_on(one)]:
            found[name] = self._arm(name, sets[name])
            write_down(self._proof(found))

    def _proof(self, found: Mapping[str, Arm]) -> Proof:
        config = self._config
        return Proof(
            config.name,
            config.output,
            config.seeds,
            self._pool,
            tuple(found[name] for name in config.arms if name in found),
            {
                (better, worse): self._difference(found[better], found[worse])
                for better, worse in config.compare
                if better in found and worse in found
            },
            tuple(name for name in config.arms if name not in found),
        )

    def _base(self) -> Path:
        """Return the model that captioner and filter are fine-tuned from."""
        config = self._config
        if config.base is not None:
            return self._loop.pretrained(config.base, *self._raw, "base")
        self._beside.finish()
        return self._raw_model(config.seeds[0])

    def _raw_model(self, seed: int) -> Path:
        return self._loop.pretrained(self._of_seed(RAW, seed), *self._raw, f"{RAW}-{seed}")

    # -- one arm ---------------------------------------------------------------------------------

    def _set(self, name: str, arm: ArmConfig, base: Path, sets: Mapping[str, _Set]) -> _Set:
        """Make an arm's training set."""
        self._reporter.say(f"arm {name}")
        writer, judge = ("shared", "shared") if arm.shared else ("captioner", "filter")
        table = self._loop.labelled(
            self._tuned(writer, base), self._tuned(judge, base), captions=arm.captions
        )
        return _Set(table, *self._selection(name, arm, table, sets))

    def _start(self, name: str, made: _Set) -> None:
        """Train and judge an arm's models in processes of their own, where there are several."""
        if self._config.arms[name].continued:
            self._beside.finish()  # the raw models must be there
        for seed in self._config.seeds:
            label = f"{name}-{seed}"
            training = self._of_seed(name, seed)
            self._begin(label, _train, self._config, training, made, label)

    def _begin(self, name: str, call: Callable[..., object], *arguments: Any) -> None:
        if self._config.jobs > 1:
            where = self._config.output / "models" / name / "metrics.jsonl"
            self._reporter.say(f"{name}: in a process of its own, unless it is there; see {where}")
        self._beside.start(name, call, *arguments)

    def _goes_on(self, name: str) -> bool:
        return any(self._beside.is_running(f"{name}-{seed}") for seed in self._config.seeds)

    def _arm(self, name: str, made: _Set) -> Arm:
        """Train an arm's models, unless they are there, and judge them."""
        hits: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
        for seed in self._config.seeds:
            training = self._of_seed(name, seed)
            model = self._loop.pretrained(training, made.table, made.selection, f"{name}-{seed}")
            said = self._loop.evaluated(self._config.evaluate, model)["retrieval"]
            self._pool = (said["num_images"], said["num_texts"])
            self._owners = np.asarray(said["ranks"]["owners"])
            hits["t2i"].append(np.asarray(said["ranks"]["of_texts"]) < 1)
            hits["i2t"].append(np.asarray(said["ranks"]["of_images"]) < 1)
        stacked = {way: np.stack(rows) for way, rows in hits.items()}
        steps = (training.steps or 0) + (training.final.steps or 0 if training.final else 0)
        return Arm(
            name,
            int(made.selection.facts["rows_kept"]),
            dict(made.selection.facts["selected"]),
            made.threshold,
            steps,
            {way: mean_interval(stacked[way], self._owners_of(way)) for way in WAYS},
            stacked,
        )

    def _selection(
        self, name: str, arm: ArmConfig, table: CommittedTable, sets: Mapping[str, _Set]
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
            share = self._share(sets[arm.like].selection, self._config.arms[arm.like], table)
            inner = RandomShare(share, seed=0)
            settings |= dict(inner.summary())
        selection, _ = select(table, Among(inner, arm.keep), settings, name=f"arm-{name}")
        return selection, threshold

    @staticmethod
    def _share(other: Selection, config: ArmConfig, table: CommittedTable) -> float:
        """Return the share of its texts that another arm keeps."""
        total = sum(
            int(np.isin(texts["source"].to_pylist(), config.keep).sum())
            for texts in table.each_texts()
        )
        return other.selected / max(1, total)

    def _tuned(self, name: str, base: Path) -> Path:
        """Return a model fine-tuned from the base."""
        self._beside.finish(name)
        settings, said = _tunings(self._config)[name]
        return self._loop.finetuned(settings, base, name, said)

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

    def _of_seed(self, name: str, seed: int) -> PretrainConfig:
        training = self._trainings[name].model_copy(update={"seed": seed})
        if not self._config.arms[name].continued:
            return training
        start = StartConfig.model_validate({"from": self._raw_model(seed)})
        return training.model_copy(update={"start": start})

    # -- comparisons -----------------------------------------------------------------------------

    def _owners_of(self, way: str) -> np.ndarray:
        return self._owners if way == "t2i" else np.arange(self._pool[0])

    def _difference(self, better: Arm, worse: Arm) -> dict[str, Interval]:
        return {
            way: difference_interval(better.hits[way], worse.hits[way], self._owners_of(way))
            for way in WAYS
        }
