"""What a recipe asks of this machine: models, devices, extras, credentials, disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from curate.core.atomic import child_names
from curate.core.errors import CurateError, EngineError, RecipeError, StoreError
from curate.core.machine import cores
from curate.core.plan import Plan, StagePlan
from curate.doctor.devices import Devices
from curate.doctor.findings import Finding
from curate.doctor.machine import existing, java_version
from curate.doctor.packages import missing_of
from curate.engine.pools import Cluster, claims
from curate.models import checkpoints
from curate.recipe import Recipe, load
from curate.run import practice_list
from curate.stages.modelling import ModelConfig

#: Kinds that want an extra, by family and kind.
_EXTRA_OF = {("captioners", "vllm"): "vllm", ("scorers", "siglip"): "siglip"}


def read_recipe(path: Path, sets: Sequence[str]) -> tuple[Recipe | None, list[Finding]]:
    """Read a recipe; what is wrong with it are findings, one a problem."""
    try:
        return load(path, sets=sets), []
    except RecipeError as error:
        return None, _problems(error)


def plan_of(path: Path, sets: Sequence[str], recipe: Recipe) -> Plan:
    """Return a recipe's plan; a practice list that it wants written is written elsewhere.

    Raises:
        CurateError: what is wrong with it.
    """
    if recipe.loopback is None:
        return recipe.plan()
    with tempfile.TemporaryDirectory(prefix="curate-doctor-") as folder:
        practice = load(path, output=Path(folder) / "run", sets=sets)
        practice_list(practice)
        return practice.plan()


def check_recipe(
    path: Path, sets: Sequence[str], recipe: Recipe, devices: Devices, cluster: Cluster | None
) -> Iterator[Finding]:
    """Look at what a recipe wants.

    Args:
        path: the recipe.
        sets: overrides of its settings.
        recipe: as read from there.
        devices: of this machine.
        cluster: the Ray cluster it would join, or None.
    """
    models = [stage for stage in recipe.stages if isinstance(stage.config, ModelConfig)]
    for stage in models:
        yield from _model(stage)
        yield from _device(stage, recipe, devices)
    yield from _extras(recipe)
    try:
        plan = plan_of(path, sets, recipe)
    except RecipeError as error:
        yield from _problems(error)
    except CurateError as error:  # a model's, said above
        yield Finding("recipe", recipe.name, "missing", str(error), required=True)
    else:
        yield Finding(
            "recipe",
            recipe.name,
            "ok",
            f"{len(plan.passes)} pass(es), {len(plan.legs)} leg(s); nothing is wrong with it",
            required=True,
        )
        yield from _fits(recipe, plan, cluster or Cluster(cores(), devices.gpus))
    yield from _output(recipe)


def _problems(error: RecipeError) -> list[Finding]:
    return [
        Finding("recipe", problem.key or error.recipe, "missing", str(problem), required=True)
        for problem in error.problems
    ]


def _model(stage: StagePlan) -> Iterator[Finding]:
    assert isinstance(stage.config, ModelConfig)
    model, revision = stage.config.model, stage.config.revision
    name = f"{stage.key} {stage.name}"
    if checkpoints.local_folder(model) is not None:
        wrong = stage.config.check()
        said = wrong[0] if wrong else f"{model}: a local checkpoint"
        yield Finding("recipe", name, "missing" if wrong else "ok", said, required=True)
        return
    here = checkpoints.downloaded(model, revision)
    try:
        commit = checkpoints.digest(model, revision)
    except CurateError as error:
        yield Finding("recipe", name, "missing", str(error), required=True)
        return
    if commit == checkpoints.UNRESOLVED:
        says = f"{model} was never downloaded here, and the hub cannot be reached"
        mend = f"'hf download {model}' where there is a network, or give a folder as 'model'"
        yield Finding("recipe", name, "missing", says, mend, required=True)
        return
    says = f"{model} at {commit[:12]}, " + (
        "downloaded" if here else "on the hub; the first worker downloads it"
    )
    yield Finding("recipe", name, "ok", says, required=True)


def _device(stage: StagePlan, recipe: Recipe, devices: Devices) -> Iterator[Finding]:
    assert isinstance(stage.config, ModelConfig)
    config, name = stage.config, f"{stage.key} {stage.name}"
    here = recipe.engine.kind == "local"
    if here and config.device == "cuda" and not devices.gpus:
        says, mend = "'device: cuda' insists on a GPU, and there is none", "give 'device: auto'"
        yield Finding("recipe", name, "missing", says, mend, required=True)
    on_gpu = here and devices.gpus and config.device != "cpu"
    if on_gpu and config.dtype == "bfloat16" and not devices.bfloat16:
        says, mend = "this GPU has no bfloat16", "give 'dtype: float16'"
        yield Finding("recipe", name, "warning", says, mend)
    if here and config.num_cpus > cores():
        says = f"{config.num_cpus:g} threads on {cores()} core(s): they take turns"
        yield Finding("recipe", name, "warning", says, f"give 'num_cpus: {cores()}'")


def _extras(recipe: Recipe) -> Iterator[Finding]:
    wanted = {
        _EXTRA_OF[stage.family, stage.kind]: stage.name
        for stage in recipe.stages
        if (stage.family, stage.kind) in _EXTRA_OF
    }
    judges = recipe.evaluate.kinds if recipe.evaluate is not None else ()
    if "captioning" in judges:
        wanted["evaluate"] = "evaluate"
    for extra, name in wanted.items():
        lacking = missing_of(extra)
        yield Finding(
            "recipe",
            f"{name}: curate[{extra}]",
            "missing" if lacking else "ok",
            f"lacks {', '.join(lacking)}" if lacking else "there",
            f"pip install 'curate[{extra}]'" if lacking else "",
            required=True,
        )
    if "captioning" in judges and java_version() is None:
        mend = "install a Java runtime, or leave METEOR and SPICE out"
        yield Finding("recipe", "evaluate: java", "warning", "METEOR and SPICE want it", mend)


def _fits(recipe: Recipe, plan: Plan, cluster: Cluster) -> Iterator[Finding]:
    """Look whether each pass's legs have room at the same time."""
    for one in plan.passes:
        try:
            given = claims(one.legs, cluster, recipe.engine.workers)
        except EngineError as error:
            mend = "smaller shares, fewer workers, or more GPUs"
            yield Finding("recipe", f"pass {one.index}", "missing", str(error), mend, required=True)
            continue
        if recipe.engine.kind == "ray":
            pools = zip(one.legs, given, strict=True)
            says = ", ".join(f"{leg.name} x{claim.workers}" for leg, claim in pools)
            yield Finding("recipe", f"pass {one.index}", "ok", f"workers: {says}", required=True)


def _output(recipe: Recipe) -> Iterator[Finding]:
    if isinstance(recipe.output, Path):
        room = shutil.disk_usage(existing(recipe.output)).free
        says = f"room for about {room / 1.2e5:,.0f} pictures at 384 pixels, with one export"
        mend = "'curate plan RECIPE --probe 512' says what this recipe takes"
        yield Finding("recipe", "disk", "ok", says, mend)
        return
    try:
        child_names(recipe.output)
    except StoreError as error:
        mend = "set the store's credentials and address in the environment (docs/run.md)"
        yield Finding("recipe", "output", "missing", str(error), mend, required=True)
    else:
        yield Finding("recipe", "output", "ok", f"{recipe.output} answers", required=True)
