"""What follows the passes: selection, views, exports, pretraining, evaluation."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.core.atomic import read_json, write_json
from curate.core.config import ExporterConfig, SelectorConfig, SinkConfig
from curate.core.plan import StagePlan, stage_identity
from curate.core.selection import Selection, select
from curate.core.selection_pairs import SelectionPairs
from curate.core.stage import Progress
from curate.core.store import same_json
from curate.core.table import CommittedTable
from curate.evaluate.config import EvaluateConfig
from curate.outcome import Reporter, RunResult
from curate.pretrain.config import PretrainConfig
from curate.recipe import Recipe

_MADE_FROM = "made_from.json"
_MAKING = "making.json"


def after_passes(
    recipe: Recipe, table: CommittedTable, result: RunResult, reporter: Reporter
) -> None:
    """Do what the recipe wants of the finished table, filling in the result."""
    if recipe.select is not None:
        result.selection, result.selected_now = select_texts(recipe.select, table, recipe.selection)
    for sink in recipe.sinks:
        assert isinstance(sink.config, SinkConfig)
        result.sinks[sink.name] = sink.config.build().index(table, _progress(reporter, sink.name))
    if recipe.loopback is not None and result.selection is not None:
        from curate.quickstart.practice import practice_verdict

        result.practice = practice_verdict(table, result.selection)
    if result.selection is None:
        return
    for export in recipe.export:
        result.exports[export.name] = export_selection(
            export, table, result.selection, _progress(reporter, export.name)
        )
    if recipe.pretrain is not None:
        result.pretrain = pretrain_on_selection(recipe.pretrain, table, result.selection, reporter)
        if recipe.evaluate is not None:
            model = Path(result.pretrain["model"])
            result.evaluation = evaluate_model(recipe.evaluate, model, reporter)


def select_texts(plan: StagePlan, table: CommittedTable, name: str) -> tuple[Selection, bool]:
    """Decide a selection; see ``core.selection.select``."""
    assert isinstance(plan.config, SelectorConfig)
    return select(table, plan.config.build(), stage_identity(plan), name=name)


def export_selection(
    plan: StagePlan, table: CommittedTable, selection: Selection, progress: Progress
) -> Mapping[str, Any]:
    """Hand a selection to a trainer, below ``shards/NAME``; returns the manifest."""
    assert isinstance(plan.config, ExporterConfig)
    output = table.store.root / "shards" / f"{plan.name}-{selection.name}"
    return plan.config.build().export(table, selection, output, progress)


def pretrain_on_selection(
    config: PretrainConfig, table: CommittedTable, selection: Selection, reporter: Reporter
) -> Mapping[str, Any]:
    """Train on a selection, below ``pretrain/``; returns what ``result.json`` says.

    A model made from the same settings and selection is left as it is; an unfinished one of them is
    gone on with, and an outdated one replaced.

    Raises:
        CurateError: settings, data or starting weights that do not fit.
    """
    from curate.pretrain.trainer import pretrain

    output = table.store.root / "pretrain" / config.name
    made_from = {
        "settings": config.model_dump(mode="json", by_alias=True),
        "table": table.fingerprint,
        "selection": dict(selection.facts),
    }
    marker = output / _MADE_FROM
    if marker.exists() and same_json(read_json(marker), made_from):
        there: dict[str, Any] = read_json(output / "result.json")
        return there
    making = output / _MAKING
    if not (making.exists() and same_json(read_json(making), made_from)):
        shutil.rmtree(output, ignore_errors=True)
        write_json(making, made_from)
    reporter.step_done("pretrain", f"{config.name}: on {selection.selected:,} selected texts")
    trained = pretrain(
        config, output, SelectionPairs(table, selection, score=config.data.score), reporter.say
    )
    write_json(marker, made_from)
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in dataclasses.asdict(trained).items()
    }


def evaluate_model(config: EvaluateConfig, model: Path, reporter: Reporter) -> Mapping[str, Any]:
    """Evaluate a model; the figures are kept beside it and not computed twice."""
    from curate.evaluate.run import evaluate

    output = model.parent / "evaluation.json"
    marker = model.parent / "evaluation.made_from.json"
    made_from = config.model_dump(mode="json")
    if marker.exists() and same_json(read_json(marker), made_from):
        there: dict[str, Any] = read_json(output)
        return there
    reporter.step_done("evaluate", str(model))
    found = evaluate(model, config, output=output, echo=reporter.say)
    write_json(marker, made_from)
    return found.as_json()


def _progress(reporter: Reporter, name: str) -> Progress:
    return lambda done, total: reporter.step(name, done, total)
