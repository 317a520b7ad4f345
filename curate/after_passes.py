"""What follows the passes: selection, views, exports, pretraining, evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.core.config import ExporterConfig, SelectorConfig, SinkConfig
from curate.core.location import store_path
from curate.core.plan import StagePlan, stage_identity
from curate.core.selection import Selection, select
from curate.core.selection_pairs import SelectionPairs
from curate.core.stage import Progress
from curate.core.table import CommittedTable
from curate.outcome import Reporter, RunResult
from curate.pretrain.config import PretrainConfig
from curate.recipe import Recipe
from curate.trained import evaluated, trained


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
        training = recipe.pretrain.on_cluster(recipe.engine.address)
        result.pretrain = pretrain_on_selection(training, table, result.selection, reporter)
        if recipe.evaluate is not None:
            model = store_path(result.pretrain["model"])
            result.evaluation = evaluated(recipe.evaluate, model, reporter)


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

    Raises:
        CurateError: settings, data or starting weights that do not fit.
    """
    return trained(
        config,
        table.store.root / "pretrain" / config.name,
        reporter,
        source=SelectionPairs(table, selection, score=config.data.score),
        data={
            "table": table.fingerprint,
            "selection": dict(selection.facts),
            **table.added_facts([config.data.score] if config.data.score else []),
        },
        said=f"on {selection.selected:,} selected texts",
    )


def _progress(reporter: Reporter, name: str) -> Progress:
    return lambda done, total: reporter.step(name, done, total)
