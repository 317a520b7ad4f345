"""Reads the stages and settings of a recipe, gathering every problem with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from curate.core import yaml_lines
from curate.core.config import FrozenConfig, StageConfig
from curate.core.errors import CurateError, Problem, nearest
from curate.core.families import Kind, UnknownKind, find, kinds
from curate.core.plan import StagePlan
from curate.core.validation import valid_keys, validation_problems
from curate.core.yaml_lines import Lines, dotted


class StageReader:
    """Reads sections one by one and gathers problems instead of stopping at the first.

    Attributes:
        data: the recipe as plain data.
        lines: where its keys stand.
        problems: what is wrong so far.
    """

    def __init__(self, data: dict[str, Any], lines: Lines) -> None:
        self.data = data
        self.lines = lines
        self.problems: list[Problem] = []

    def problem(self, message: str, path: yaml_lines.Path, hint: str = "") -> None:
        """Note a problem at a place of the recipe."""
        self.problems.append(Problem(message, dotted(path), self.lines[path], hint))

    def one(self, key: str, families: Sequence[str]) -> StagePlan | None:
        """Read the one stage a section holds."""
        if key not in self.data:
            self.problem(
                f"{key!r} is missing", (key,), f"one of: {', '.join(known_kinds(families))}"
            )
            return None
        return self.stage(self.data[key], (key,), families)

    def many(self, key: str, families: Sequence[str]) -> list[StagePlan]:
        """Read a section that lists stages."""
        values = self.data.get(key) or []
        if not isinstance(values, list):
            self.problem(f"{key!r} is a list", (key,), "one '- {kind: ...}' a line")
            return []
        found = [self.stage(v, (key, i), families) for i, v in enumerate(values)]
        return [stage for stage in found if stage is not None]

    @staticmethod
    def named(stages: list[StagePlan]) -> list[StagePlan]:
        """Give repeated names a number, in order."""
        seen: dict[str, int] = {}
        out = []
        for stage in stages:
            seen[stage.name] = seen.get(stage.name, 0) + 1
            name = stage.name if seen[stage.name] == 1 else f"{stage.name}_{seen[stage.name]}"
            out.append(
                StagePlan(stage.family, stage.kind, name, stage.config, stage.key, stage.line)
            )
        return out

    def stage(self, value: Any, path: yaml_lines.Path, families: Sequence[str]) -> StagePlan | None:
        """Read one stage: find its kind, validate its options."""
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            self.problem("a mapping with a 'kind' is due here", path, "{kind: ...}")
            return None
        options = {str(key): option for key, option in value.items() if key != "kind"}
        kind = self._kind(value["kind"], options, (*path, "kind"), families)
        if kind is None:
            return None
        config = self._validate(kind.config(), options, path)
        if config is None:
            return None
        assert isinstance(config, StageConfig)
        name = config.label or kind.name
        return StagePlan(kind.family, kind.name, name, config, dotted(path), self.lines[path])

    def _kind(
        self, text: str, options: Mapping[str, Any], path: yaml_lines.Path, families: Sequence[str]
    ) -> Kind | None:
        family, slash, name = text.rpartition("/")
        if slash:
            try:
                if family in families:
                    return find(family, name)
                self.problem(f"no family {family!r} here", path, nearest(family, families))
            except UnknownKind as error:
                self.problem(str(error), path)
            return None
        found = [kinds(family)[name] for family in families if name in kinds(family)]
        if not found:
            self.problem(f"there is no kind {name!r}", path, nearest(name, known_kinds(families)))
            return None
        fitting = [kind for kind in found if set(options) <= valid_keys(kind.config())]
        if len(found) > 1 and len(fitting) != 1:
            choices = " or ".join(f"'{kind.family}/{name}'" for kind in found)
            self.problem(f"{name!r} can be several things here", path, f"write {choices}")
            return None
        return fitting[0] if fitting else found[0]

    def config(self, key: str, model: type[FrozenConfig]) -> Any:
        """Read a section that is one config; None where it is absent or wrong."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.problem(f"{key!r} is a mapping", (key,))
            return None
        return self._validate(model, value, (key,))

    def _validate(
        self, model: type[FrozenConfig], options: Mapping[str, Any], path: yaml_lines.Path
    ) -> FrozenConfig | None:
        try:
            return model.model_validate(dict(options))
        except ValidationError as error:
            self.problems += validation_problems(error, model, path, self.lines)
        except CurateError as error:
            self.problem(str(error), path)
        return None


def known_kinds(families: Sequence[str]) -> list[str]:
    """Return the names of every kind of some families."""
    return [name for family in families for name in kinds(family)]
