"""The file name is the registration: which kinds there are, and the Config behind each.

``kind: resolution`` in a recipe means ``curate/stages/filters/resolution.py``; a package of
somebody else adds kinds by entry points in the group ``curate.filters`` (the family's name),
each pointing at a module of the same form. Files that begin with an underscore are no kinds.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.core.config import FrozenConfig
from curate.core.errors import CurateError, nearest

#: Family name -> package that holds its files.
FAMILIES = {
    "sources": "curate.sources",
    "download": "curate.stages.download",
    "filters": "curate.stages.filters",
    "text_filters": "curate.stages.text_filters",
    "dedup": "curate.stages.dedup",
    "captioners": "curate.stages.captioners",
    "scorers": "curate.stages.scorers",
    "selectors": "curate.stages.selectors",
    "sinks": "curate.sinks",
    "exporters": "curate.exporters",
    "architectures": "curate.pretrain.architectures",
    "objectives": "curate.pretrain.objectives",
    "evaluators": "curate.evaluate.evaluators",
}
#: The families whose kinds stand in a recipe's ``stages``.
STAGE_FAMILIES = ("download", "filters", "text_filters", "dedup", "captioners", "scorers")


class UnknownKind(CurateError):  # noqa: N818
    """No file and no entry point of that name; the message names the nearest."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of a family.

    Attributes:
        family: e.g. ``scorers``.
        name: e.g. ``blip``.
        module: the module that holds its ``Config``.
    """

    family: str
    name: str
    module: str

    def config(self) -> type[FrozenConfig]:
        """Import the module and return its ``Config``."""
        config = importlib.import_module(self.module).Config
        if not (isinstance(config, type) and issubclass(config, FrozenConfig)):
            raise TypeError(f"{self.module}.Config is no FrozenConfig")
        return config

    def summary(self) -> str:
        """Return the first line of the module's docstring, without importing it."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            return ""
        docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        return (docstring or "").split("\n", 1)[0]


@functools.cache
def kinds(family: str) -> dict[str, Kind]:
    """Return a family's kinds by name, sorted; entry points may not hide a kind of ours.

    Raises:
        UnknownKind: there is no such family.
    """
    if family not in FAMILIES:
        raise UnknownKind(f"there is no family {family!r}: {nearest(family, FAMILIES)}")
    package = FAMILIES[family]
    found: dict[str, Kind] = {}
    for entry in importlib.metadata.entry_points(group=f"curate.{family}"):
        found[entry.name] = Kind(family, entry.name, entry.module)
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        for info in pkgutil.iter_modules([location]):
            if not info.name.startswith("_"):
                found[info.name] = Kind(family, info.name, f"{package}.{info.name}")
    return dict(sorted(found.items()))


def find(family: str, name: str) -> Kind:
    """Return one kind.

    Raises:
        UnknownKind: no such kind; the message offers the nearest.
    """
    known = kinds(family)
    if name not in known:
        raise UnknownKind(f"there is no {name!r} among the {family}: {nearest(name, known)}")
    return known[name]


def from_recipe(family: str, value: Any) -> Any:
    """Turn ``itc`` or ``{kind: itc, ...}`` into the Config of ``objectives/itc.py``, say.

    For validators of fields that hold kinds; what is neither is left for the field to refuse.

    Raises:
        ValueError: no kind is named, or none of that name; what the Config itself refuses.
    """
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("kind"), str):
        raise ValueError(f"an {family.removesuffix('s')} needs a 'kind'")
    try:
        return find(family, value["kind"]).config()(**value)
    except UnknownKind as error:
        raise ValueError(str(error)) from error
