"""Trainings that are done once: the same settings on the same pairs are not trained twice."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.core.atomic import read_json, write_json
from curate.core.pairs import PairSource
from curate.core.store import same_json
from curate.evaluate.config import EvaluateConfig
from curate.outcome import Reporter
from curate.pretrain.config import PretrainConfig

_MADE_FROM = "made_from.json"
_MAKING = "making.json"


def trained(
    config: PretrainConfig,
    output: Path,
    reporter: Reporter,
    *,
    source: PairSource | None = None,
    data: Mapping[str, Any] | None = None,
    said: str = "",
) -> Mapping[str, Any]:
    """Train a model unless it is there; returns what its ``result.json`` says.

    A model made from the same settings and data is left as it is; an unfinished one of them is
    gone on with, and an outdated one replaced.

    Args:
        config: the recipe.
        output: the training's folder.
        reporter: told what goes on.
        source: pairs to train on, instead of the recipe's tables.
        data: what identifies them and the starting weights; JSON values.
        said: what is trained on, for people.

    Raises:
        CurateError: settings, data or starting weights that do not fit.
    """
    from curate.pretrain.trainer import pretrain

    made_from = {"settings": config.identity(), **(data or {})}
    marker = output / _MADE_FROM
    if marker.exists() and same_json(read_json(marker), made_from):
        there: dict[str, Any] = read_json(output / "result.json")
        return there
    making = output / _MAKING
    if not (making.exists() and same_json(read_json(making), made_from)):
        shutil.rmtree(output, ignore_errors=True)
        write_json(making, made_from)
    finished = output / "result.json"  # the last that a training writes
    if not finished.exists():
        shutil.rmtree(output / "model", ignore_errors=True)
        reporter.step_done("pretrain", f"{config.name}: {said}" if said else config.name)
        pretrain(config, output, source, reporter.say)
    write_json(marker, made_from)
    done: dict[str, Any] = read_json(finished)
    return done


def evaluated(config: EvaluateConfig, model: Path, reporter: Reporter) -> Mapping[str, Any]:
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
