"""The bootstrap loop: each round's captioner and filter come from the round's own pretraining.

Source: BLIP (arXiv 2201.12086), section 4 and figure 3. A model is pretrained on noisy pairs;
captioner (LM) and filter (ITC and ITM) are fine-tuned from it on clean pairs, each apart; the
filter judges the web texts and the captioner's captions; a *new* model is pretrained on what is
kept, for going on with the old one is worse (table 13).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curate import recipe as recipes
from curate.after_passes import select_texts
from curate.bootstrap_config import FROM_THE_ROUND, BootstrapConfig
from curate.core.atomic import read_json, write_json, write_whole
from curate.core.errors import Problem, RecipeError, nearest
from curate.core.pairs import TableConfig, open_tables
from curate.core.selection import Selection
from curate.core.selection_pairs import SelectionPairs
from curate.core.table import CommittedTable
from curate.inspection.round_report import RoundReport, alarms, report_round
from curate.inspection.score_samples import canary_scores
from curate.outcome import Reporter
from curate.pretrain.config import PretrainConfig
from curate.pretrain.sections import StartConfig
from curate.recipe import Recipe
from curate.run import run
from curate.trained import evaluated, trained

RAW = "raw"
#: Settings by which selectors cut; the first that a selector has is calibrated.
_CUTS = ("threshold", "min")


@dataclass(frozen=True)
class Round:
    """One turn of the loop.

    Attributes:
        number: from 1.
        threshold: what the texts were cut at.
        selection: its name in the run.
        report: what it did to the texts.
        model: pretrained anew on the selection.
        evaluation: how that model does, or None.
    """

    number: int
    threshold: float
    selection: str
    report: RoundReport
    model: Path
    evaluation: Mapping[str, Any] | None


@dataclass
class BootstrapResult:
    """What the loop came to.

    Attributes:
        output: its folder.
        raw_model: pretrained on the raw pairs: what the rounds are compared with.
        raw_evaluation: how it does, or None.
        rounds: in order.
        alarms: why the loop was ended, or what to look at.
    """

    output: Path
    raw_model: Path
    raw_evaluation: Mapping[str, Any] | None
    rounds: list[Round] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "output": str(self.output),
            "raw": {"model": str(self.raw_model), "evaluation": self.raw_evaluation},
            "rounds": [
                {
                    "round": one.number,
                    "threshold": one.threshold,
                    "selection": one.selection,
                    **one.report.to_json(),
                    "model": str(one.model),
                    "evaluation": one.evaluation,
                }
                for one in self.rounds
            ],
            "alarms": self.alarms,
        }


def bootstrap(config: BootstrapConfig, reporter: Reporter) -> BootstrapResult:
    """Turn the loop, or go on with it; everything that is done is left as it is.

    Raises:
        RecipeError: the run's recipe does not fit the loop.
        CurateError: whatever a run or a training raises; what was committed stays valid.
    """
    return _Loop(config, reporter).turn()


class _Loop:
    def __init__(self, config: BootstrapConfig, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._whole = self._recipe({})
        names = [stage.name for stage in self._whole.stages]
        self._captioner = _place(names, config.captioner_stage, "captioner_stage")
        self._scorer = _place(names, config.scorer_stage, "scorer_stage")
        if self._whole.select is None:
            raise RecipeError(config.name, [Problem("the run selects nothing", "run.select")])

    def turn(self) -> BootstrapResult:
        """Go through all rounds."""
        table, selection = self._raw()
        model, evaluation = self._pretrained(table, selection, "0-raw")
        result = BootstrapResult(self._config.output, model, evaluation)
        for number in range(1, self._config.rounds + 1):
            done = self._round(number, model)
            result.rounds.append(done)
            model = done.model
            result.alarms = alarms([one.report for one in result.rounds])
            self._write_down(result)
            if result.alarms and self._config.stop_on_alarm:
                break
        return result

    # -- the four steps --------------------------------------------------------------------------

    def _raw(self) -> tuple[CommittedTable, Selection]:
        """Fetch and filter, and keep every web text that is left."""
        cut = {"select": {"kind": "selectors/source", "keep": ["web", "human"], "name": RAW}}
        recipe = self._recipe(cut, stages=self._captioner)
        self._reporter.say("round 0: the raw pairs")
        result = run(recipe, self._reporter)
        assert result.selection is not None
        return CommittedTable.open(recipe.output), result.selection

    def _pretrained(
        self, table: CommittedTable, selection: Selection, name: str
    ) -> tuple[Path, Mapping[str, Any] | None]:
        """Pretrain a new model on a selection, always from the recipe's own start."""
        said = trained(
            self._config.pretrain,
            self._config.output / "models" / name,
            self._reporter,
            source=SelectionPairs(table, selection, score=self._config.pretrain.data.score),
            data={"table": table.fingerprint, "selection": dict(selection.facts)},
            said=f"on {selection.selected:,} texts ({name})",
        )
        model = Path(said["model"])
        evaluate = self._config.evaluate
        return model, None if evaluate is None else evaluated(evaluate, model, self._reporter)

    def _finetuned(self, what: str, number: int, model: Path) -> Path:
        """Fine-tune a round's captioner or filter on the clean pairs."""
        config: PretrainConfig = getattr(self._config, what)
        if config.start.from_ == FROM_THE_ROUND:
            start = StartConfig.model_validate({"from": model})
            config = config.model_copy(update={"start": start})
        tables: tuple[TableConfig, ...] = self._config.clean
        said = trained(
            config,
            self._config.output / "models" / f"{number}-{what}",
            self._reporter,
            source=open_tables(tables),
            data={
                "clean": [one.model_dump(mode="json") for one in tables],
                "weights": _made_from(model),
            },
            said=f"{what} of round {number}",
        )
        return Path(said["model"])

    def _round(self, number: int, model: Path) -> Round:
        captioner = self._finetuned("captioner", number, model)
        judge = self._finetuned("filter", number, model)
        name = f"round-{number}"
        self._reporter.say(f"round {number}: captioning and judging")
        recipe = self._recipe(
            {"select": None},
            models={self._captioner: captioner, self._scorer: judge},
            number=number,
        )
        run(recipe, self._reporter)
        table = CommittedTable.open(recipe.output)
        selection, score, threshold = self._select(table, name)
        report = report_round(table, selection, score=score, threshold=threshold)
        new, evaluation = self._pretrained(table, selection, str(number))
        return Round(number, threshold, name, report, new, evaluation)

    def _select(self, table: CommittedTable, name: str) -> tuple[Selection, str, float]:
        """Decide by the run's policy, at the round's own threshold."""
        data = {key: value for key, value in self._config.run["select"].items() if key != "name"}
        assert self._whole.select is not None
        settings = self._whole.select.config.model_dump()
        cut = next((key for key in _CUTS if key in settings), None)
        (score, *_) = (*self._whole.select.config.reads, "")
        if cut is None or not score:
            raise RecipeError(
                self._config.name,
                [Problem(f"{data['kind']} has no threshold to compare rounds by", "run.select")],
            )
        if self._config.canary_recall is not None:
            canaries = canary_scores(table, score)
            data[cut] = float(np.quantile(canaries, self._config.canary_recall, method="higher"))
        plan = recipes.parse_stage(data, (), "selectors", scores=table.score_names)
        selection, _ = select_texts(plan, table, name)
        return selection, score, float(data.get(cut, settings[cut]))

    # -- recipes and records ---------------------------------------------------------------------

    def _recipe(
        self,
        changes: Mapping[str, Any],
        *,
        stages: int | None = None,
        models: Mapping[int, Path] | None = None,
        number: int = 0,
    ) -> Recipe:
        """Return the run's recipe with a round's models; it hands on and trains nothing itself."""
        data = copy.deepcopy(self._config.run)
        for section in ("pretrain", "evaluate", "export"):
            data.pop(section, None)
        data.update(changes)
        data["output"] = str(self._config.output / "run")
        data["stages"] = data.get("stages", [])[:stages]
        for place, model in (models or {}).items():
            data["stages"][place]["model"] = str(model)
        if models:
            data["stages"][self._captioner]["round"] = number
        return recipes.parse(
            {key: value for key, value in data.items() if value is not None},
            label=f"{self._config.name}, run",
        )

    def _write_down(self, result: BootstrapResult) -> None:
        write_json(self._config.output / "bootstrap.json", result.to_json())
        text = table_of(result).encode()
        write_whole(self._config.output / "bootstrap.md", lambda file: file.write(text))


def table_of(result: BootstrapResult) -> str:
    """Return the rounds as a Markdown table, with the alarms below it."""
    head = (
        *("round", "noise in web texts", "in captions", "web kept", "captions kept"),
        *("filter agrees with captioner", "entity words lost", "distinct-2", "canaries rejected"),
        *("t2i R@1", "i2t R@1"),
    )
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    blank = [""] * (len(head) - 3)
    lines.append(_line(["raw", *blank, *_recall(result.raw_evaluation)]))
    for one in result.rounds:
        report = one.report
        lines.append(
            _line(
                [
                    str(one.number),
                    *(_percent(report.noise.get(source)) for source in ("web", "synthetic")),
                    *(f"{report.kept.get(source, 0):,}" for source in ("web", "synthetic")),
                    *(
                        _percent(value)
                        for value in (
                            report.agreement,
                            report.entity_words_lost,
                            report.distinct_2,
                            report.canary_recall,
                        )
                    ),
                    *_recall(one.evaluation),
                ]
            )
        )
    return "\n".join([*lines, *(f"\nAlarm: {said}" for said in result.alarms)]) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _recall(evaluation: Mapping[str, Any] | None) -> list[str]:
    found = (evaluation or {}).get("retrieval") or {}
    return [
        _percent(next(iter(found[way].values()))) if way in found else "" for way in ("t2i", "i2t")
    ]


def _place(names: list[str], wanted: str, key: str) -> int:
    if wanted not in names:
        raise RecipeError(
            "bootstrap",
            [Problem(f"the run has no stage {wanted!r}", key, None, nearest(wanted, names))],
        )
    return names.index(wanted)


def _made_from(model: Path) -> Any:
    """Return what identifies a model of the loop: what it was made from."""
    return read_json(model.parent / "made_from.json")
