"""What every loop does: raw pairs, a captioner and a filter from them, captions and scores.

Source: BLIP (arXiv 2201.12086), section 4 and figure 3. Everything that is done is left as it is,
so a loop that was stopped goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate import recipe as recipes
from curate.core import families
from curate.core.atomic import read_json
from curate.core.errors import Problem, RecipeError, nearest
from curate.core.pairs import open_tables
from curate.core.plan import StagePlan
from curate.core.selection import Selection
from curate.core.selection_pairs import SelectionPairs
from curate.core.table import CommittedTable
from curate.evaluate.config import EvaluateConfig
from curate.inspection.score_samples import canary_scores
from curate.loop_config import FROM_THE_ROUND, LoopConfig
from curate.outcome import Reporter
from curate.pretrain.config import PretrainConfig
from curate.pretrain.sections import StartConfig
from curate.recipe import Recipe
from curate.run import run
from curate.trained import evaluated, trained

RAW = "raw"
#: Settings by which selectors cut; the first that a selector has is set by the canaries.
_CUTS = ("threshold", "min")


class Loop:
    """A run whose captioner and scorer change, and the trainings around it."""

    def __init__(self, config: LoopConfig, reporter: Reporter) -> None:
        """Read the run's recipe.

        Raises:
            RecipeError: it is not valid, or lacks the stages that the loop names.
        """
        self.config = config
        self.reporter = reporter
        names = [stage.name for stage in self._recipe({}).stages]
        self._captioner = _place(names, config.captioner_stage, "captioner_stage", config.name)
        self._scorer = _place(names, config.scorer_stage, "scorer_stage", config.name)

    def raw(self) -> tuple[CommittedTable, Selection]:
        """Fetch and filter, and keep every web text that is left."""
        cut = {"select": {"kind": "selectors/source", "keep": ["web", "human"], "name": RAW}}
        recipe = self._recipe(cut, stages=self._captioner)
        result = run(recipe, self.reporter)
        assert result.selection is not None
        return CommittedTable.open(recipe.output), result.selection

    def labelled(
        self,
        captioner: Path,
        judge: Path,
        *,
        number: int = 0,
        captions: Mapping[str, Any] | None = None,
    ) -> CommittedTable:
        """Caption and score the run with these models; what was fetched is not fetched again.

        Args:
            captioner: checkpoint of the captioner.
            judge: checkpoint of the scorer.
            number: round of the captions; another round draws others.
            captions: settings of the captioner that differ from the recipe's.
        """
        recipe = self._recipe(
            {"select": None},
            models={self._captioner: captioner, self._scorer: judge},
            captioner={**(captions or {}), "round": number},
        )
        run(recipe, self.reporter)
        return CommittedTable.open(recipe.output)

    def pretrained(
        self, config: PretrainConfig, table: CommittedTable, selection: Selection, name: str
    ) -> Path:
        """Train on a selection, below ``models/NAME``; returns the checkpoint."""
        said = trained(
            self._sharing(config),
            self.config.output / "models" / name,
            self.reporter,
            source=SelectionPairs(table, selection, score=config.data.score),
            data={
                "table": table.fingerprint,
                "selection": dict(selection.facts),
                "weights": self._weights(config),
            },
            said=f"on {selection.selected:,} texts ({name})",
        )
        return Path(said["model"])

    def finetuned(self, config: PretrainConfig, model: Path, name: str, said: str) -> Path:
        """Fine-tune on the clean pairs, from a model unless the settings say otherwise."""
        if config.start.from_ == FROM_THE_ROUND:
            start = StartConfig.model_validate({"from": model})
            config = config.model_copy(update={"start": start})
        tables = self.config.clean
        result = trained(
            self._sharing(config),
            self.config.output / "models" / name,
            self.reporter,
            source=open_tables(tables),
            data={
                "clean": [one.model_dump(mode="json") for one in tables],
                "weights": self._weights(config),
            },
            said=said,
        )
        return Path(result["model"])

    def evaluated(self, config: EvaluateConfig, model: Path) -> Mapping[str, Any]:
        """Evaluate one of the loop's models, once."""
        training = self.config.pretrain
        frozen = training.data.cache == "image_tokens" and not training.optim.image_lr_scale
        kept = self._image_tokens if frozen else None
        return evaluated(config, model, self.reporter, image_tokens=kept)

    @property
    def _image_tokens(self) -> Path:
        return self.config.output / "image_tokens"

    def _sharing(self, config: PretrainConfig) -> PretrainConfig:
        """Return a training that shares the image tokens it keeps with the others."""
        data = config.data
        if data.cache != "image_tokens" or data.cache_folder is not None:
            return config
        shared = data.model_copy(update={"cache_folder": self._image_tokens})
        return config.model_copy(update={"data": shared})

    def threshold(self, table: CommittedTable, score: str) -> float | None:
        """Return the threshold that rejects the wanted share of the canaries.

        Raises:
            StoreError: the run has no canaries.
        """
        recall = self.config.canary_recall
        if recall is None:
            return None
        return float(np.quantile(canary_scores(table, score), recall, method="higher"))

    def selector(
        self, settings: Mapping[str, Any], table: CommittedTable
    ) -> tuple[StagePlan, str, float | None]:
        """Return a selector with its threshold set by the canaries, its score and the threshold.

        Without a share for the canaries to set it by, the selector's own threshold is taken.

        Raises:
            RecipeError: the selector is not valid, or lacks the threshold that nobody sets.
            StoreError: the run has no canaries.
        """
        data = {key: value for key, value in settings.items() if key != "name"}
        plan = self._selector(data, table)
        said = plan.config.model_dump()
        cut = _cut_of(data)
        score = next(iter(plan.config.reads), "")
        if cut is None or not score:
            return plan, score, None
        found = self.threshold(table, score)
        if found is None:
            return plan, score, said[cut]
        data[cut] = found
        return self._selector(data, table), score, found

    def _selector(self, data: Mapping[str, Any], table: CommittedTable) -> StagePlan:
        given = dict(data)
        cut = _cut_of(data)
        canaries = self.config.canary_recall is not None
        if canaries and cut is not None and given.get(cut) is None and _must_be_given(data, cut):
            given[cut] = 0.0  # until the canaries have spoken
        return recipes.parse_stage(given, (), "selectors", scores=table.score_names)

    def _weights(self, config: PretrainConfig) -> Any:
        """Return what identifies the loop's own model that a training starts from, if any."""
        start = config.start.from_
        marker = start.parent / "made_from.json" if start is not None else None
        return read_json(marker) if marker is not None and marker.exists() else None

    def _recipe(
        self,
        changes: Mapping[str, Any],
        *,
        stages: int | None = None,
        models: Mapping[int, Path] | None = None,
        captioner: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """Return the run's recipe with these models; it hands on and trains nothing itself."""
        data = copy.deepcopy(self.config.run)
        for section in ("pretrain", "evaluate", "export"):
            data.pop(section, None)
        data.update(changes)
        data["output"] = str(self.config.output / "run")
        data["stages"] = data.get("stages", [])[:stages]
        for place, model in (models or {}).items():
            data["stages"][place]["model"] = str(model)
        if captioner:
            said = {**data["stages"][self._captioner], **captioner}
            data["stages"][self._captioner] = {k: v for k, v in said.items() if v is not None}
        return recipes.parse(
            {key: value for key, value in data.items() if value is not None},
            label=f"{self.config.name}, run",
        )


def percent(value: float | None) -> str:
    """Return a share for a table; empty where there is none."""
    return "" if value is None else f"{value:.1%}"


def table_line(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def _cut_of(data: Mapping[str, Any]) -> str | None:
    """Return the setting by which this selector cuts; None of one that ranks, or is not known."""
    fields = _fields_of(data)
    return next((cut for cut in _CUTS if cut in fields), None)


def _must_be_given(data: Mapping[str, Any], cut: str) -> bool:
    return bool(_fields_of(data)[cut].is_required())


def _fields_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(data.get("kind", "")).rpartition("/")[2]
    try:
        return families.find("selectors", name).config().model_fields
    except families.UnknownKind:
        return {}  # the recipe's own check says so, with the nearest names


def _place(names: list[str], wanted: str, key: str, label: str) -> int:
    if wanted not in names:
        said = Problem(f"the run has no stage {wanted!r}", key, None, nearest(wanted, names))
        raise RecipeError(label, [said])
    return names.index(wanted)
