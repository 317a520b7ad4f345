"""The bootstrap loop: each round's captioner and filter come from the round's own pretraining.

Source: BLIP (arXiv 2201.12086), section 4. A model is pretrained on noisy pairs; captioner (LM) and
filter (ITC and ITM) are fine-tuned from it on clean pairs, each apart; the filter judges the web
texts and the captioner's captions; a *new* model is pretrained on what is kept, for going on with
the old one is worse (table 13).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.after_passes import select_texts
from curate.core.atomic import write_json, write_whole
from curate.core.errors import Problem, RecipeError
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.inspection.round_report import RoundReport, alarms, report_round
from curate.loop import Loop, percent, table_line
from curate.loop_config import BootstrapConfig
from curate.outcome import Reporter
from curate.progress import RunProgress


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
    if not config.run.get("select"):
        raise RecipeError(config.name, [Problem("the run selects nothing", "run.select")])
    progress = RunProgress(reporter, kind="loop", name=config.name)
    with progress.telling(config.output):
        return _Rounds(config, progress).turn()


class _Rounds:
    def __init__(self, config: BootstrapConfig, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._loop = Loop(config, reporter)

    def turn(self) -> BootstrapResult:
        """Go through all rounds."""
        self._reporter.say("round 0: the raw pairs")
        model, evaluation = self._pretrained(*self._loop.raw(), "0-raw")
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

    def _write_down(self, result: BootstrapResult) -> None:
        write_json(self._config.output / "bootstrap.json", result.to_json())
        text = table_of(result).encode()
        write_whole(self._config.output / "bootstrap.md", lambda file: file.write(text))

    def _round(self, number: int, model: Path) -> Round:
        tuned = {
            what: self._loop.finetuned(
                getattr(self._config, what), model, f"{number}-{what}", f"{what} of round {number}"
            )
            for what in ("captioner", "filter")
        }
        self._reporter.say(f"round {number}: captioning and judging")
        table = self._loop.labelled(tuned["captioner"], tuned["filter"], number=number)
        plan, score, threshold = self._loop.selector(self._config.run["select"], table)
        if threshold is None:
            said = f"{plan.kind} has no threshold to compare rounds by"
            raise RecipeError(self._config.name, [Problem(said, "run.select")])
        selection, _ = select_texts(plan, table, f"round-{number}")
        report = report_round(table, selection, score=score, threshold=threshold)
        new, evaluation = self._pretrained(table, selection, str(number))
        return Round(number, threshold, selection.name, report, new, evaluation)

    def _pretrained(
        self, table: CommittedTable, selection: Selection, name: str
    ) -> tuple[Path, Mapping[str, Any] | None]:
        """Pretrain a new model, always from the recipe's own start, and judge it."""
        model = self._loop.pretrained(self._config.pretrain, table, selection, name)
        evaluate = self._config.evaluate
        return model, None if evaluate is None else self._loop.evaluated(evaluate, model)


def table_of(result: BootstrapResult) -> str:
    """Return the rounds as a Markdown table, with the alarms below it."""
    head = (
        *("round", "noise in web texts", "in captions", "web kept", "captions kept"),
        *("filter agrees with captioner", "entity words lost", "distinct-2", "canaries rejected"),
        *("t2i R@1", "i2t R@1"),
    )
    lines = [table_line(head), table_line(["---"] * len(head))]
    lines.append(table_line(["raw", *[""] * (len(head) - 3), *_recall(result.raw_evaluation)]))
    for one in result.rounds:
        report = one.report
        figures = (
            *(report.agreement, report.entity_words_lost),
            *(report.distinct_2, report.canary_recall),
        )
        lines.append(
            table_line(
                [
                    str(one.number),
                    *(percent(report.noise.get(source)) for source in ("web", "synthetic")),
                    *(f"{report.kept.get(source, 0):,}" for source in ("web", "synthetic")),
                    *(percent(value) for value in figures),
                    *_recall(one.evaluation),
                ]
            )
        )
    return "\n".join([*lines, *(f"\nAlarm: {said}" for said in result.alarms)]) + "\n"


def _recall(evaluation: Mapping[str, Any] | None) -> list[str]:
    found = (evaluation or {}).get("retrieval") or {}
    return [
        percent(next(iter(found[way].values()))) if way in found else "" for way in ("t2i", "i2t")
    ]
