"""Trainings that are done once: the same settings on the same pairs are not trained twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.core.atomic import read_json, read_json_if_there, remove_tree, write_json
from curate.core.location import StorePath
from curate.core.pairs import PairSource
from curate.core.scratch import fetched, workshop
from curate.core.store import same_json
from curate.evaluate.config import EvaluateConfig
from curate.outcome import Reporter
from curate.pretrain.config import PretrainConfig

_MADE_FROM = "made_from.json"
_MAKING = "making.json"
_RESULT = "result.json"


def trained(
    config: PretrainConfig,
    output: StorePath,
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
    from curate.training import train

    made_from = {"settings": config.identity(), **(data or {})}
    marker = output / _MADE_FROM
    if same_json(read_json_if_there(marker), made_from):
        there: dict[str, Any] = read_json(output / _RESULT)
        return there
    if not isinstance(output, Path):
        remove_tree(output)  # an outdated one; an unfinished one is in the workshop
    with workshop(output) as folder:
        if not same_json(read_json_if_there(folder / _MAKING), made_from):
            remove_tree(folder)
            write_json(folder / _MAKING, made_from)
        finished = folder / _RESULT
        if not (finished.exists() and (folder / "model").exists()):
            remove_tree(folder / "model")
            reporter.step_done("pretrain", f"{config.name}: {said}" if said else config.name)
            train(config, folder, source, reporter.say)
        done = _as_of(read_json(finished), folder, output)
        if folder != output:
            write_json(finished, done)
    write_json(marker, made_from)
    return done


def _as_of(result: Mapping[str, Any], folder: Path, output: StorePath) -> dict[str, Any]:
    """Return a training's result with its files where they end up."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return _as_of(value, folder, output)
        if isinstance(value, str) and Path(value).is_relative_to(folder):
            return str(output / Path(value).relative_to(folder))
        return value

    return {name: moved(value) for name, value in result.items()}


def evaluated(
    config: EvaluateConfig,
    model: StorePath,
    reporter: Reporter,
    *,
    image_tokens: Path | None = None,
) -> Mapping[str, Any]:
    """Evaluate a model; the figures are kept beside it and not computed twice.

    Args:
        config: what is evaluated.
        model: the checkpoint.
        reporter: told what goes on.
        image_tokens: folder in which models of the same image tower share its tokens.
    """
    from curate.evaluate.run import evaluate

    output = model.parent / "evaluation.json"
    marker = model.parent / "evaluation.made_from.json"
    made_from = config.model_dump(mode="json")
    if same_json(read_json_if_there(marker), made_from):
        there: dict[str, Any] = read_json(output)
        return there
    reporter.step_done("evaluate", str(model))
    with fetched(model) as folder:
        found = {
            **evaluate(folder, config, image_tokens=image_tokens, echo=reporter.say).as_json(
                ranks=True
            ),
            "model": str(model),
        }
    write_json(output, found)
    write_json(marker, made_from)
    return found
