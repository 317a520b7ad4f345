"""Recipes of scorers alone, for ``curate add-score``: ``stages``, and ``engine`` if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curate.core.errors import RecipeError, nearest
from curate.core.plan import StagePlan
from curate.engine.base import EngineConfig
from curate.recipe import read_mapping
from curate.recipe_stages import StageReader

_SECTIONS = ("stages", "engine")


def read_scorers(
    path: Path, sets: Sequence[str], *, engine: str | None = None
) -> tuple[list[StagePlan], EngineConfig]:
    """Read a recipe of scorers.

    Args:
        path: a YAML file with ``stages``, scorers one and all, and ``engine`` where it is wanted.
        sets: overrides such as ``stages[0].canaries=0.02``; values are YAML.
        engine: overrides ``engine.kind``.

    Raises:
        RecipeError: everything that is wrong with it.
    """
    overrides = [*sets, *([f"engine.kind={engine}"] if engine else [])]
    reader = StageReader(*read_mapping(path, overrides))
    for key in reader.data:
        if key not in _SECTIONS:
            near = nearest(str(key), _SECTIONS)
            reader.problem(f"a recipe of scorers has no {key!r}", (str(key),), near)
    stages = reader.many("stages", ("scorers",))
    settings = reader.config("engine", EngineConfig) or EngineConfig()
    if not stages and not reader.problems:
        reader.problem("'stages' is missing", ("stages",), "stages: [{kind: clip, model: ...}]")
    names = [stage.name for stage in stages]
    for number, name in enumerate(names):
        if name in names[:number]:
            said = f"two scorers are called {name!r}"
            reader.problem(said, ("stages", number), "give one of them another name with 'as'")
    for name in settings.workers:
        if name not in names:
            near = nearest(name, names)
            reader.problem(f"no stage is named {name!r}", ("engine", "workers", name), near)
    if reader.problems:
        raise RecipeError(str(path), reader.problems)
    return stages, settings
