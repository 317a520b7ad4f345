"""Recipes: YAML, validated whole before anything runs.

Unknown keys, wrong types, a kind nobody has, a stage that reads a column nobody writes, a missing
file: all are reported at once, each with its line and the nearest valid name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.core import columns, yaml_lines
from curate.core.config import SelectorConfig
from curate.core.errors import Problem, RecipeError, SourceError, StoreError, nearest
from curate.core.families import STAGE_FAMILIES
from curate.core.location import StorePath, matching, store_path
from curate.core.plan import Plan, StagePlan, compile_plan, with_text_fields
from curate.core.plan_check import check_beside, check_columns
from curate.core.validation import override
from curate.core.yaml_lines import Lines
from curate.engine.base import EngineConfig
from curate.evaluate.config import EvaluateConfig
from curate.pretrain.config import PretrainConfig
from curate.quickstart.config import LoopbackConfig
from curate.recipe_files import from_file
from curate.recipe_stages import StageReader

_SECTIONS = (
    *("name", "source", "stages", "select", "sinks", "export"),
    *("pretrain", "evaluate", "output", "engine", "loopback"),
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Recipe:
    """A validated recipe.

    Attributes:
        name: what people call it.
        source: where rows come from.
        stages: in order.
        select: the selector, or None.
        selection: the selection's name.
        sinks: views to keep of the table.
        export: what to hand to trainers.
        pretrain: what to train on the selection, or None.
        evaluate: how to judge what was trained, or None.
        output: the run's folder.
        engine: where the work is done.
        loopback: the practice web to serve while running, or None.
        raw: the recipe as it was written, overrides applied.
        label: the file's name, or ``recipe``, for messages.
    """

    name: str
    source: StagePlan
    stages: tuple[StagePlan, ...]
    select: StagePlan | None
    selection: str
    sinks: tuple[StagePlan, ...]
    export: tuple[StagePlan, ...]
    pretrain: PretrainConfig | None
    evaluate: EvaluateConfig | None
    output: StorePath
    engine: EngineConfig
    loopback: LoopbackConfig | None
    raw: Mapping[str, Any] = field(repr=False)
    label: str = "recipe"

    def plan(self) -> Plan:
        """Check the recipe against its surroundings and compile it.

        Opens the source's header; loads no model.

        Raises:
            RecipeError: everything that is wrong.
        """
        problems: list[Problem] = []
        try:
            schema = self.source.config.build().schema()
        except SourceError as error:
            problems.append(Problem(str(error), self.source.key, self.source.line))
            schema = None
        for stage in [
            *self.stages,
            *self.sinks,
            *self.export,
            *([self.select] if self.select else []),
        ]:
            problems += [Problem(said, stage.key, stage.line) for said in stage.config.check()]
        names = [stage.name for stage in self.stages]
        problems += [
            Problem(
                f"no stage is named {name!r}", f"engine.workers.{name}", None, nearest(name, names)
            )
            for name in self.engine.workers
            if name not in names
        ]
        if schema is not None:
            problems += check_columns(schema, self.stages)
            problems += _check_readers(self, schema)
            if self.select is not None:
                problems += _check_selector(self.select, schema, self.stages)
        if self.evaluate is not None:
            problems += _check_tables(self.evaluate)
        if problems or schema is None:
            raise RecipeError(self.label, problems)
        compiled = compile_plan(self.source, schema, self.stages)
        apart = check_beside(compiled)
        if apart:
            raise RecipeError(self.label, apart)
        return compiled


def load(
    path: Path,
    *,
    engine: str | None = None,
    output: StorePath | None = None,
    sets: Sequence[str] = (),
) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file.
        engine: overrides ``engine.kind``.
        output: overrides ``output``.
        sets: overrides such as ``stages[1].resize=256``; values are YAML.

    Raises:
        RecipeError: everything that is wrong with it.
    """
    overrides = [*sets, *([f"engine.kind={engine}"] if engine else [])]
    data, lines = read_mapping(path, overrides)
    if output is not None:
        data["output"] = str(output)
    return parse(data, lines, str(path))


def read_mapping(path: Path, sets: Sequence[str]) -> tuple[dict[str, Any], Lines]:
    """Read a YAML file that is a mapping, overrides applied, with the lines of its keys.

    Raises:
        RecipeError: no such file, no YAML, no mapping, an override that fits nowhere.
    """
    label = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        raise RecipeError(label, [Problem("no such file", hint=near)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(label, [Problem(f"cannot be read: {error}")]) from error
    data, lines, problems = yaml_lines.load(text)
    if problems:
        raise RecipeError(label, problems)
    if not isinstance(data, dict):
        raise RecipeError(label, [Problem("a recipe is a mapping", hint="name:, source:, stages:")])
    for one in sets:
        problems += override(data, one)
    if problems:
        raise RecipeError(label, problems)
    return data, lines


def parse(data: dict[str, Any], lines: Lines | None = None, label: str = "recipe") -> Recipe:
    """Validate a recipe given as plain data.

    Raises:
        RecipeError: everything that is wrong with it.
    """
    output = str(data.get("output") or f"runs/{data.get('name')}")
    reader = _Reader(_fill_in(data, output), lines or Lines())
    recipe = reader.read(label)
    if reader.problems or recipe is None:
        raise RecipeError(label, reader.problems)
    return recipe


def parse_stage(
    data: dict[str, Any], sets: Sequence[str], family: str, *, scores: Sequence[str]
) -> StagePlan:
    """Validate one stage given on a command line.

    Args:
        data: with its ``kind``.
        sets: options such as ``threshold=0.7``; values are YAML.
        family: where the kind is looked up.
        scores: score columns a selector may read.

    Raises:
        RecipeError: everything that is wrong with it.
    """
    label = f"--kind {data['kind']}"
    problems = [problem for text in sets for problem in override(data, text)]
    reader = _Reader({}, Lines())
    stage = reader.stage(data, (), (family,)) if not problems else None
    problems += reader.problems
    if stage is not None and isinstance(stage.config, SelectorConfig):
        problems += _missing_scores(stage, scores)
    if problems or stage is None:
        raise RecipeError(label, problems)
    return stage


def _fill_in(value: Any, output: str) -> Any:
    """Replace ``{output}`` in every string by the run's folder."""
    if isinstance(value, str):
        return value.replace("{output}", output)
    if isinstance(value, dict):
        return {key: _fill_in(item, output) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, output) for item in value]
    return value


class _Reader(StageReader):
    """Reads a recipe's sections one by one."""

    def read(self, label: str) -> Recipe | None:
        for key in self.data:
            if key not in _SECTIONS:
                self.problem(f"unknown key {key!r}", (str(key),), nearest(str(key), _SECTIONS))
        name = self._name()
        source = self.one("source", ("sources",))
        stages = self.named(self.many("stages", STAGE_FAMILIES))
        select_data = self.data.get("select")
        selection = "default"
        if isinstance(select_data, dict) and isinstance(select_data.get("name"), str):
            select_data = dict(select_data)
            selection = select_data.pop("name")
            if not _NAME.fullmatch(selection):
                self.problem(f"{selection!r} is no name for a selection", ("select", "name"))
        select = None
        if select_data is not None:
            select = self.stage(select_data, ("select",), ("selectors",))
        sinks = self.many("sinks", ("sinks",))
        export = self.many("export", ("exporters",))
        sections = self._sections()
        self._needs("export", "hands a selection on", "select")
        self._needs("pretrain", "trains on a selection", "select")
        self._needs("evaluate", "judges a trained model", "pretrain")
        output = self.data.get("output") if self.data.get("output") is not None else f"runs/{name}"
        if not isinstance(output, str) or not output.strip():
            self.problem(f"{output!r} is no folder", ("output",))
        place = self._place(str(output))
        if source is None or self.problems:
            return None
        return Recipe(
            name=name,
            source=source,
            stages=tuple(stages),
            select=select,
            selection=selection,
            sinks=tuple(sinks),
            export=tuple(self.named(export)),
            output=place,
            raw=self.data,
            label=label,
            **sections,
        )

    def _place(self, output: str) -> StorePath:
        try:
            return store_path(output)
        except StoreError as error:
            self.problem(str(error), ("output",))
            return Path(output)

    def _needs(self, section: str, what: str, other: str) -> None:
        if self.data.get(section) and self.data.get(other) is None:
            self.problem(f"{section!r} {what}, and there is no {other!r}", (section,))

    def _sections(self) -> dict[str, Any]:
        return {
            "engine": self.config("engine", EngineConfig) or EngineConfig(),
            "pretrain": self._pretrain(),
            "evaluate": self.config("evaluate", EvaluateConfig),
            "loopback": self.config("loopback", LoopbackConfig),
        }

    def _name(self) -> str:
        name = self.data.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            said = "'name' is missing" if name is None else f"{name!r} is no name"
            self.problem(said, ("name",), "letters, digits, '.', '_' and '-'")
            return ""
        return name

    def _pretrain(self) -> Any:
        """Settings of their own, or ``recipe: FILE`` with settings that replace the file's."""
        value = self.data.get("pretrain")
        if isinstance(value, dict):
            try:
                self.data["pretrain"] = from_file(value)
            except ValueError as error:
                self.problem(str(error), ("pretrain", "recipe"))
                return None
        return self.config("pretrain", PretrainConfig)


def _check_readers(recipe: Recipe, schema: pa.Schema) -> list[Problem]:
    """Check that what follows the passes finds its columns in the finished table."""
    written = [field.name for stage in recipe.stages for field in stage.config.writes]
    have = {*with_text_fields(schema).names, *columns.KEYS, *written}
    readers = [
        (stage.name, stage.key, stage.line, stage.config.reads)
        for stage in (*recipe.sinks, *recipe.export)
    ]
    if recipe.pretrain is not None:
        readers.append(("pretraining", "pretrain", None, ("image",)))
    return [
        Problem(f"{who} reads the column {name!r}, which no stage writes", key, line)
        for who, key, line, names in readers
        for name in names
        if name not in have
    ]


def _check_tables(config: EvaluateConfig) -> list[Problem]:
    if config.needs_tables and not config.tables:
        return [Problem("pictures with texts to judge by are due", "evaluate.tables")]
    named = [(f"tables[{index}]", table) for index, table in enumerate(config.tables)]
    for index, one in enumerate(config.evaluators):
        named += [(f"evaluators[{index}].table", table) for table in one.own_tables]
    return [
        Problem(f"there is no file {table.path!r}", f"evaluate.{place}.path")
        for place, table in named
        if not matching(table.path)
    ]


def _check_selector(
    select: StagePlan, schema: pa.Schema, stages: Sequence[StagePlan]
) -> list[Problem]:
    assert isinstance(select.config, SelectorConfig)
    written = [field for stage in stages for field in stage.config.writes]
    scores = [f.name for f in [*with_text_fields(schema), *written] if columns.is_score(f)]
    return _missing_scores(select, scores)


def _missing_scores(select: StagePlan, scores: Sequence[str]) -> list[Problem]:
    return [
        Problem(
            f"the selector reads the scores {name!r}, which no scorer writes",
            select.key,
            select.line,
            nearest(name, scores) if scores else "add a scorer to 'stages'",
        )
        for name in select.config.reads
        if name not in scores
    ]
