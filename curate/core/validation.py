"""From what pydantic says of a config to problems a person can mend; and overrides of a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from curate.core.config import FrozenConfig
from curate.core.errors import Problem, RecipeError, nearest
from curate.core.yaml_lines import Lines, Path, dotted


def override(data: dict[str, Any], text: str) -> list[Problem]:
    """Set one value of a recipe, in place.

    Args:
        data: the recipe as plain data.
        text: ``key=value``: a path such as ``stages[1].resize`` and a YAML value; what is
            no YAML is text.

    Returns:
        What is wrong with it, if anything.
    """
    key, equals, value = text.partition("=")
    path: list[str | int] = [
        int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", key.strip()) if part
    ]
    if not equals or not path:
        return [
            Problem(f"--set {text!r} is not of the form key=value", hint="stages[1].resize=256")
        ]
    target: Any = data
    for part in path[:-1]:
        if isinstance(target, dict) and isinstance(part, str):
            target = target.setdefault(part, {})
        elif isinstance(target, list) and isinstance(part, int) and part < len(target):
            target = target[part]
        else:
            return [Problem(f"--set {text!r}: there is no {part!r} in the recipe")]
    last = path[-1]
    fits = isinstance(target, dict) or (
        isinstance(target, list) and isinstance(last, int) and last < len(target)
    )
    if not fits:
        return [Problem(f"--set {text!r}: there is no {dotted(tuple(path))} in the recipe")]
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        target[last] = value  # text that only looks like YAML: {output}/list.parquet
    return []


Config = TypeVar("Config", bound=FrozenConfig)


def validated(model: type[Config], data: Mapping[str, Any], *, label: str, at: Path = ()) -> Config:
    """Return a config made of plain data.

    Args:
        model: its type.
        data: its settings.
        label: what the settings are part of, for the message.
        at: where in it they stand.

    Raises:
        RecipeError: everything that is wrong with them.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise RecipeError(label, validation_problems(error, model, at, Lines())) from error


def validation_problems(
    error: ValidationError, model: type[FrozenConfig], path: Path, lines: Lines
) -> list[Problem]:
    """Return what pydantic found, each with its place and the nearest valid names."""
    return [_problem(dict(one), model, path, lines) for one in error.errors()]


def _problem(error: dict[str, Any], model: type[FrozenConfig], path: Path, lines: Lines) -> Problem:
    where: Path = (*path, *error["loc"])
    last = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        hint = nearest(last, _keys_at(model, error["loc"]))
        return Problem(f"unknown key {last!r}", dotted(where), lines[where], hint)
    if error["type"] == "missing":
        return Problem(f"{last!r} is missing", dotted(where), lines[where])
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = "" if error["type"] == "value_error" else f", got {error['input']!r}"
    return Problem(message + given, dotted(where), lines[where])


def valid_keys(model: type[FrozenConfig]) -> set[str]:
    """Return the keys a config takes."""
    return {info.alias or name for name, info in model.model_fields.items()}


def _keys_at(model: type[FrozenConfig], loc: Sequence[str | int]) -> set[str]:
    """Valid keys of the nested config an unknown key stands in."""
    current: Any = model
    for part in loc[:-1]:
        info = current.model_fields.get(str(part))
        nested = getattr(info, "annotation", None)
        candidates = [nested, *getattr(nested, "__args__", ())]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, FrozenConfig)]
        if not found:
            return valid_keys(current)
        current = found[0]
    return valid_keys(current)
