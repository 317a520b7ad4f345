"""What the loop and its proof are told, in YAML; validated whole before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from curate.core import yaml_lines
from curate.core.config import FrozenConfig, tuning
from curate.core.errors import Problem, RecipeError, nearest
from curate.core.pairs import TableConfig
from curate.core.validation import override, validation_problems
from curate.evaluate.config import EvaluateConfig
from curate.pretrain.config import PretrainConfig
from curate.recipe_files import from_file

#: Stands where a fine-tuning's starting checkpoint will: the round's own pretraining.
FROM_THE_ROUND = Path("{model}")
_TRAININGS = ("pretrain", "base", "captioner", "filter")


class LoopConfig(FrozenConfig):
    """What every loop has: a run, trainings, clean pairs.

    Attributes:
        name: what people call it.
        run: a run's recipe, or ``{recipe: FILE, ...}`` with settings that replace the file's. Its
            captioner and scorer get each round's models.
        captioner_stage: name of its captioner.
        scorer_stage: name of its scorer.
        canary_recall: share of the planted mismatches that the threshold rejects, so that it means
            the same whatever the filter; None keeps the recipe's own threshold.
        clean: tables of clean pairs, for captioner and filter.
        pretrain: how a model is made from noisy or selected pairs.
        captioner: how it is fine-tuned to write, on the clean pairs.
        filter: how it is fine-tuned to judge, likewise and apart from the captioner.
        output: folder of the loop, on a local disk.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    run: dict[str, Any]
    captioner_stage: str = Field(min_length=1)
    scorer_stage: str = Field(min_length=1)
    canary_recall: float | None = Field(0.9, gt=0, lt=1)
    clean: tuple[TableConfig, ...] = Field(min_length=1)
    pretrain: PretrainConfig
    captioner: PretrainConfig
    filter: PretrainConfig
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
    def _tables_come_from_the_loop(self) -> Self:
        for name in _TRAININGS:
            training: PretrainConfig | None = getattr(self, name, None)
            if training is not None and training.data.tables:
                raise ValueError(f"{name} takes its pairs from the loop: leave out its data.tables")
        return self


class BootstrapConfig(LoopConfig):
    """The loop of CapFilt: pretrain, fine-tune captioner and filter, caption and filter, again.

    Attributes:
        rounds: turns of the loop; each pretrains a new model.
        evaluate: how each round's model is judged; None: it is not.
        stop_on_alarm: end the loop when the filter begins to agree with everything.
    """

    rounds: int = Field(1, ge=1, le=100)
    evaluate: EvaluateConfig | None = None
    stop_on_alarm: bool = True


class ArmConfig(FrozenConfig):
    """One way of making a training set, and what else is done otherwise than in its peers.

    Attributes:
        keep: sources whose texts may be kept.
        select: selector that judges them, its ``threshold`` or ``min`` left out: it is set by the
            canaries; None keeps them all.
        like: keep a random share of the texts instead, as many as that arm keeps of its own.
        captions: settings of the captioner that differ: other decoding, say; null takes one away.
        shared: one model, fine-tuned with the objectives of both, captions and judges.
        continued: train on from the raw model instead of anew.
        steps_scale: steps of this arm, of the others' number.
        train: settings of ``pretrain`` that differ.
    """

    keep: tuple[Literal["web", "synthetic", "human"], ...] = ("web", "synthetic", "human")
    select: dict[str, Any] | None = None
    like: str | None = None
    captions: dict[str, Any] = Field(default_factory=dict)
    shared: bool = False
    continued: bool = False
    steps_scale: float = Field(1.0, gt=0, le=100)
    train: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_choice(self) -> ArmConfig:
        if self.select is not None and self.like is not None:
            raise ValueError("an arm judges its texts or draws them: 'select' or 'like'")
        return self


class ProveConfig(LoopConfig):
    """A controlled experiment: the same training on differently made sets, several times.

    Attributes:
        arms: by name. ``raw`` must be one, without settings: every web text as it comes.
        compare: pairs of arms whose difference is estimated, the hoped-for better one first.
        seeds: of the trainings; every arm is trained with each.
        base: how the model is trained, on the raw pairs, that captioner and filter are fine-tuned
            from; None: they come from the raw arm's model of the first seed.
        evaluate: how the models are judged, on pictures that nothing was trained on.
        jobs: trainings at a time, each in a process of its own with its share of the threads.
    """

    arms: dict[str, ArmConfig] = Field(min_length=2)
    compare: tuple[tuple[str, str], ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    base: PretrainConfig | None = None
    evaluate: EvaluateConfig
    jobs: int = tuning(1, ge=1, le=64)

    @model_validator(mode="after")
    def _arms_are_there(self) -> ProveConfig:
        if self.arms.get("raw") != ArmConfig():
            raise ValueError("one arm must be 'raw: {}': every web text as it comes")
        named = [name for pair in self.compare for name in pair]
        named += [arm.like for arm in self.arms.values() if arm.like is not None]
        for name in named:
            if name not in self.arms:
                raise ValueError(f"there is no arm {name!r}: {nearest(name, self.arms)}")
        for name in self.arms:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name):
                raise ValueError(f"{name!r} is no name of an arm: letters, digits, '.', '_', '-'")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is named twice: it would give the same model again")
        if self.pretrain.steps is None:
            raise ValueError("pretrain needs 'steps', not 'epochs': the arms' sets differ in size")
        if "retrieval" not in self.evaluate.kinds:
            raise ValueError("evaluate needs the evaluator 'retrieval', which is compared")
        return self

    @model_validator(mode="after")
    def _likes_come_to_an_end(self) -> ProveConfig:
        for name in self.arms:
            chain = [name]
            while (other := self.arms[chain[-1]].like) is not None:
                chain.append(other)
                if other in chain[:-1]:
                    said = " like ".join(chain)
                    raise ValueError(f"none of the arms {said} says how many texts it keeps")
        return self


Loop = TypeVar("Loop", bound=LoopConfig)


def load_loop(
    config: type[Loop], path: Path, *, output: Path | None = None, sets: Sequence[str] = ()
) -> Loop:
    """Read a recipe of a loop.

    Args:
        config: what kind of loop.
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
        return config.model_validate(_filled(data, str(data["output"])))
    except ValidationError as error:
        raise RecipeError(label, validation_problems(error, config, (), lines)) from error


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
