"""What the bootstrap loop is told, in YAML; validated whole before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from curate.core import yaml_lines
from curate.core.config import FrozenConfig
from curate.core.errors import Problem, RecipeError, nearest
from curate.core.pairs import TableConfig
from curate.core.validation import override, validation_problems
from curate.evaluate.config import EvaluateConfig
from curate.pretrain.config import PretrainConfig
from curate.recipe_files import from_file

#: Stands where a fine-tuning's starting checkpoint will: the round's own pretraining.
FROM_THE_ROUND = Path("{model}")
_TRAININGS = ("pretrain", "captioner", "filter")


class BootstrapConfig(FrozenConfig):
    """The loop of CapFilt: pretrain, fine-tune captioner and filter, caption and filter, again.

    Attributes:
        name: what people call it.
        run: a run's recipe, or ``{recipe: FILE, ...}`` with settings that replace the file's. Its
            captioner and scorer get each round's models.
        captioner_stage: name of its captioner.
        scorer_stage: name of its scorer.
        rounds: turns of the loop.
        canary_recall: share of the planted mismatches that each round's threshold rejects, so
            that thresholds mean the same in every round; None keeps the recipe's own threshold.
        clean: tables of clean pairs, for captioner and filter.
        pretrain: how a model is made from noisy or selected pairs; a new one each round.
        captioner: how it is fine-tuned to write, from the round's model on the clean pairs.
        filter: how it is fine-tuned to judge, likewise and apart from the captioner.
        evaluate: how each round's model is judged; None: it is not.
        stop_on_alarm: end the loop when the filter begins to agree with everything.
        output: folder of the loop, on a local disk.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    run: dict[str, Any]
    captioner_stage: str = Field(min_length=1)
    scorer_stage: str = Field(min_length=1)
    rounds: int = Field(1, ge=1, le=100)
    canary_recall: float | None = Field(0.9, gt=0, lt=1)
    clean: tuple[TableConfig, ...] = Field(min_length=1)
    pretrain: PretrainConfig
    captioner: PretrainConfig
    filter: PretrainConfig
    evaluate: EvaluateConfig | None = None
    stop_on_alarm: bool = True
    output: Path

    @field_validator("output", mode="before")
    @classmethod
    def _on_a_disk(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            raise ValueError(
                f"{value} is no local folder: a loop trains from files on a disk; a run's output "
                "may be on an object store, a loop's may not"
            )
        return value

    @model_validator(mode="after")
    def _tables_come_from_the_loop(self) -> BootstrapConfig:
        for name in _TRAININGS:
            if getattr(self, name).data.tables:
                raise ValueError(f"{name} takes its pairs from the loop: leave out its data.tables")
        return self


def load_bootstrap(
    path: Path, *, output: Path | None = None, sets: Sequence[str] = ()
) -> BootstrapConfig:
    """Read a bootstrap recipe.

    Args:
        path: a YAML file.
        output: overrides ``output``.
        sets: overrides such as ``rounds=3``; values are YAML.

    Raises:
        RecipeError: everything that is wrong with it.
    """
    label = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        raise RecipeError(label, [Problem(f"cannot be read: {error}", hint=near)]) from error
    data, lines, problems = yaml_lines.load(text)
    if not problems and not isinstance(data, dict):
        problems = [Problem("a recipe is a mapping", hint="name:, run:, rounds:, clean:")]
    for one in sets if not problems else ():
        problems += override(data, one)
    if problems:
        raise RecipeError(label, problems)
    data.setdefault("output", f"runs/{data.get('name')}")
    if output is not None:
        data["output"] = str(output)
    for name in ("run", *_TRAININGS):
        if isinstance(data.get(name), dict):
            try:
                data[name] = from_file(data[name])
            except ValueError as error:
                problems.append(Problem(str(error), f"{name}.recipe", lines[name,]))
    for name in ("captioner", "filter"):
        if isinstance(data.get(name), dict):
            data[name].setdefault("start", {"from": str(FROM_THE_ROUND)})
    if problems:
        raise RecipeError(label, problems)
    try:
        return BootstrapConfig.model_validate(_filled(data, str(data["output"])))
    except ValidationError as error:
        raise RecipeError(label, validation_problems(error, BootstrapConfig, (), lines)) from error


def _filled(data: Mapping[str, Any], output: str) -> dict[str, Any]:
    """Replace ``{loop}`` by the loop's folder, outside the run, which has an ``{output}``."""
    return {key: _fill(value, output) for key, value in data.items()}


def _fill(value: Any, output: str) -> Any:
    if isinstance(value, str):
        return value.replace("{loop}", output)
    if isinstance(value, dict):
        return {key: _fill(item, output) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, output) for item in value]
    return value
