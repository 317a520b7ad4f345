"""Sections of a recipe that begin with another file: ``{recipe: FILE, ...}``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def from_file(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section's settings: those of its ``recipe`` file, if any, under its own.

    Args:
        value: a section; without ``recipe`` it is returned as it is.

    Raises:
        ValueError: the file cannot be read.
    """
    if "recipe" not in value:
        return dict(value)
    try:
        base = yaml.safe_load(Path(str(value["recipe"])).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{value['recipe']!r} cannot be read: {error}") from error
    own = {name: setting for name, setting in value.items() if name != "recipe"}
    return merged(base if isinstance(base, dict) else {}, own)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with another's settings in place of its own, mapping by mapping."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else value
    return out
