"""What follows the passes: selection, views, exports, pretraining, evaluation. Each can be redone."""

from __future__ import annotations

from collections.abc import Callable

from curate.core.config import ExporterConfig, SelectorConfig, SinkConfig
from curate.core.plan import StagePlan, stage_identity
from curate.core.selection import Selection, select
from curate.core.table import CommittedTable
from curate.outcome import Reporter, RunResult
from curate.recipe import Recipe


def after_passes(
    recipe: Recipe, table: CommittedTable, result: RunResult, reporter: Reporter
) -> None:
    """Do what the recipe wants of the finished table, filling in the result."""
    if recipe.select is not None:
        result.selection, result.selected_now = select_texts(recipe.select, table, recipe.selection)
        reporter.step_done("select", f"{result.selection.selected:,} texts selected")
    for sink in recipe.sinks:
        assert isinstance(sink.config, SinkConfig)
        result.sinks[sink.name] = sink.config.build().index(table, _progress(reporter, sink.name))
    if result.selection is not None:
        for export in recipe.export:
            export_selection(export, table, result.selection, result, reporter)


def select_texts(
    plan: StagePlan, table: CommittedTable, name: str
) -> tuple[Selection, bool]:
    """Decide a selection; see ``core.selection.select``."""
    assert isinstance(plan.config, SelectorConfig)
    return select(table, plan.config.build(), stage_identity(plan), name=name)


def export_selection(
    plan: StagePlan,
    table: CommittedTable,
    selection: Selection,
    result: RunResult,
    reporter: Reporter,
) -> None:
    """Hand a selection to a trainer, below ``shards/NAME``."""
    assert isinstance(plan.config, ExporterConfig)
    output = table.store.root / "shards" / f"{plan.name}-{selection.name}"
    manifest = plan.config.build().export(
        table, selection, output, _progress(reporter, plan.name)
    )
    result.exports[plan.name] = manifest


def _progress(reporter: Reporter, name: str) -> Callable[[int, int], None]:
    return lambda done, total: reporter.step(name, done, total)
