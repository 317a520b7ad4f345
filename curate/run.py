"""Runs a recipe: passes, selection, views, exports, pretraining, evaluation.

Everything here may be killed at any moment; the same call goes on from what was committed.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from curate.added_scores import Additions
from curate.after_passes import after_passes
from curate.core.added import with_added
from curate.core.atomic import (
    TEMPORARY_SUFFIX,
    child_names,
    exists,
    sweep_temporaries,
    write_json,
    write_whole,
)
from curate.core.errors import OtherRun
from curate.core.layout import PLAN_FILE, RECIPE_FILE
from curate.core.lease import LEASE_FOLDER, owned
from curate.core.plan import Plan, StagePlan, stage_identity
from curate.core.store import RunStore, same_json
from curate.core.table import CommittedTable
from curate.engine.base import Engine, EngineConfig, build
from curate.forgetting.source_copies import blank_new_copies
from curate.outcome import Reporter, RunResult, result_json
from curate.passes import PassesResult, PassRunner
from curate.progress import RunProgress
from curate.recipe import Recipe
from curate.retries import (
    QUARANTINED,
    check_reasons,
    close_request,
    open_request,
    release_quarantined,
)

_VERSIONS = ("torch", "transformers", "ray", "pyarrow", "lancedb", "numpy", "pillow", "aiohttp")


def run(recipe: Recipe, reporter: Reporter, *, retry: Sequence[str] = ()) -> RunResult:
    """Run a recipe, or go on with it.

    Args:
        recipe: validated.
        reporter: told of progress.
        retry: ``quarantined`` takes up partitions again that were set aside; a reason of the
            ledger (``timeout``, ``fetch:dns``) tries its rows again once the run is done.

    Raises:
        CurateError: what concerns the whole run; committed work stays valid.
    """
    with ExitStack() as stack:
        recipe = stack.enter_context(with_practice_web(recipe))
        plan = recipe.plan()
        store = RunStore(recipe.output)
        _check_same_run(store, recipe, plan)
        if stack.enter_context(owned(store.root)):  # the last owner was killed
            sweep_temporaries(store.root)
        _tell_what_changed(store, plan, reporter)
        additions = _additions(store, plan, reporter)
        facts = _write_down(store, recipe, plan, additions)
        if QUARANTINED in retry:
            for one in (plan, *additions.plans):
                release_quarantined(store, one)
        progress = RunProgress(reporter)
        stack.enter_context(progress.telling(store.root))
        engine = progress.seeing(stack.enter_context(lazy_engine(recipe.engine, progress)))
        runner = PassRunner(plan, store, engine, progress)
        passes = runner.run()
        reasons = [reason for reason in retry if reason != QUARANTINED]
        if reasons:
            passes = _retry(runner, store, plan, passes, reasons, progress)
        additions.run(engine, progress, passes)
        blank_new_copies(store)
        table = CommittedTable.of(store, plan.nodes, plan.schema, facts)
        result = RunResult(store.root, passes)
        after_passes(recipe, table, result, progress)
        write_json(store.root / "result.json", result_json(result))
        return result


def _retry(
    runner: PassRunner,
    store: RunStore,
    plan: Plan,
    passes: PassesResult,
    reasons: Sequence[str],
    reporter: Reporter,
) -> PassesResult:
    """Try rows again that stopped for some reasons, and take them on from there."""
    for line in check_reasons(reasons, plan, passes.dropped):
        reporter.say(line)
    errand = open_request(store, reasons)
    count = errand.count(passes.dropped)
    if count:
        reporter.say(f"trying {count:,} rows again: {', '.join(sorted(errand.reasons))}")
        before, passes = passes, runner.run(errand)
        passes.worked += before.worked
        reporter.say(f"{passes.kept - before.kept:,} rows more in the table than before")
    close_request(store)
    return passes


@contextmanager
def with_practice_web(recipe: Recipe) -> Iterator[Recipe]:
    """Serve a recipe's practice web, if it has one, and lead its downloads there."""
    if recipe.loopback is None:
        yield recipe
        return
    from curate.quickstart.practice import practice_web

    with practice_web(recipe.loopback, recipe.output) as resolve:
        stages = tuple(_resolve_on_loopback(stage, resolve) for stage in recipe.stages)
        yield Recipe(**{**vars(recipe), "stages": stages})


def practice_list(recipe: Recipe) -> None:
    """Write a recipe's practice list where it is missing, so that it can be planned."""
    if recipe.loopback is not None:
        from curate.quickstart.practice import write_practice_files

        write_practice_files(recipe.loopback, recipe.output)


def _resolve_on_loopback(stage: StagePlan, resolve: Mapping[str, str]) -> StagePlan:
    if stage.family != "download" or "resolve" not in type(stage.config).model_fields:
        return stage
    config = stage.config.model_copy(update={"resolve": dict(resolve)})
    return StagePlan(stage.family, stage.kind, stage.name, config, stage.key, stage.line)


@contextmanager
def lazy_engine(config: EngineConfig, reporter: Reporter) -> Iterator[Callable[[], Engine]]:
    """Start the engine at the first call, close it at the end; a run with no work starts none."""
    started: list[Engine] = []

    def get() -> Engine:
        if not started:
            started.append(build(config))
            reporter.engine_started(started[0].describe())
        return started[0]

    try:
        yield get
    finally:
        for engine in started:
            engine.close()


def _identity(recipe: Recipe) -> dict[str, Any]:
    source = {
        key: value
        for key, value in stage_identity(recipe.source).items()
        if key not in ("path", "root")
    }
    return {"name": recipe.name, "source": source}


def _check_same_run(store: RunStore, recipe: Recipe, plan: Plan) -> None:
    """Check that the output folder holds this run, or none.

    Raises:
        OtherRun: it holds something else.
    """
    root = store.root
    if not exists(root / PLAN_FILE):
        names = child_names(root)
        foreign = [name for name in names if name not in _OURS and not _is_temporary(name)]
        if foreign:
            raise OtherRun(
                f"the output folder {root} is not empty and holds no run (it has {foreign[0]!r}): "
                "give a new folder as 'output'"
            )
        if isinstance(root, Path) and root.exists() and not root.is_dir():
            raise OtherRun(f"the output {root} is a file: give a folder as 'output'")
        return
    there = store.read_plan()[2].get("identity", {"name": None})
    mine = _identity(recipe)
    if not same_json(there, mine):
        what = "another name" if there["name"] != mine["name"] else "another source"
        raise OtherRun(
            f"{root} holds the run {there['name']!r}, made from {what}: "
            "give this recipe another 'output', or remove that folder"
        )


_OURS = (LEASE_FOLDER, "source", "loopback", RECIPE_FILE)


def _is_temporary(name: str) -> bool:
    """Whether a kill before the first plan left it half written."""
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


def _tell_what_changed(store: RunStore, plan: Plan, reporter: Reporter) -> None:
    """Say which steps a changed recipe keeps and which it does anew."""
    if not exists(store.root / PLAN_FILE):
        return
    before = {node.folder for node in store.read_plan()[0]}
    if before == {node.folder for node in plan.nodes}:
        return
    there = {leg.name for leg in plan.legs if child_names(store.root / leg.node.folder)}
    kept = [leg.name for leg in plan.legs if leg.name in there]
    anew = [leg.name for leg in plan.legs if leg.name not in there]
    reporter.say(
        f"the recipe changed: keeping {', '.join(kept) or 'nothing'}; "
        f"doing {', '.join(anew) or 'nothing'} anew"
    )


def _additions(store: RunStore, plan: Plan, reporter: Reporter) -> Additions:
    """Return the scorers that were added to the run; one that the recipe has by now goes."""
    facts = store.read_plan()[2] if exists(store.root / PLAN_FILE) else {}
    additions = Additions(store, plan, facts)
    for name in additions.superseded:
        reporter.say(f"{name} was added to this run and is a stage of the recipe now")
    return additions


def _write_down(
    store: RunStore, recipe: Recipe, plan: Plan, additions: Additions
) -> dict[str, Any]:
    """Write the recipe as resolved and the plan, before anything runs; returns the plan's facts.

    The recipe can be run itself, so it holds what was set and no default: a default written out
    may be a setting without effect, which is refused. ``plan.json`` holds them all.
    """
    resolved = {
        **recipe.raw,
        "stages": [
            {
                "kind": f"{stage.family}/{stage.kind}",
                **stage.config.model_dump(mode="json", by_alias=True, exclude_unset=True),
            }
            for stage in recipe.stages
        ],
    }
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True).encode()
    write_whole(store.root / RECIPE_FILE, lambda file: file.write(text))
    facts: dict[str, Any] = {
        "identity": _identity(recipe),
        "name": recipe.name,
        "versions": versions(),
        "stages": [stage_identity(stage) for stage in recipe.stages],
    }
    facts = with_added(facts, additions.present)
    store.write_plan(plan.nodes, plan.schema, facts)
    return facts


def versions() -> dict[str, str]:
    """Return the versions of what decides a run's results."""
    out = {"python": platform.python_version()}
    for name in ("curate", *_VERSIONS):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out
