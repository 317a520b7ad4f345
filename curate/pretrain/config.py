"""A pretraining recipe: YAML to frozen configs, validated whole before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from curate.core import families, yaml_lines
from curate.core.config import FrozenConfig, tuning
from curate.core.errors import Problem, RecipeError
from curate.core.validation import override, validation_problems
from curate.core.workers import WorkersConfig
from curate.pretrain.architectures._base import ArchitectureConfig
from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.sections import (
    AugmentConfig,
    DataConfig,
    FinalConfig,
    ImageStart,
    OptimConfig,
    StartConfig,
    TeacherConfig,
    TextsConfig,
    TextStart,
    one_length,
)

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "FinalConfig",
    "ImageStart",
    "OptimConfig",
    "PretrainConfig",
    "StartConfig",
    "TeacherConfig",
    "TextStart",
    "TextsConfig",
    "WorkersConfig",
    "load_pretrain_recipe",
]


class PretrainConfig(FrozenConfig):
    """A pretraining recipe.

    Attributes:
        name: of the model.
        seed: of everything left to chance.
        architecture: the model's form: ``med``, ``dual_encoder``, ``albef``, ``blip``, ``coca``.
        start: what training starts from.
        data: what is trained on.
        augment: random crops and distortions.
        objectives: ``itc``, ``itm``, ``lm``, ..., each by name or with its settings; their
            weighted sum is minimised.
        teacher: a momentum teacher, or none.
        queue: embeddings of earlier batches that are kept as more negatives; needs a teacher, which
            makes them.
        optim: optimizer and schedule.
        epochs: passes over the pictures; each pass takes one text of each.
        steps: optimizer steps instead, over as many passes as they take, the last in part: so
            trainings on sets of different size are compared at equal cost.
        final: a last stage on the best pictures, or none.
        batch_size: pairs per step; ITC and ITM find their negatives among them.
        accumulate: parts into which a step's batch is cut to need less memory. Losses that judge
            each pair alone (LM, MLM, PrefixLM, captioning) are those of the whole batch; ITC,
            sigmoid, MoCo and ITM see the negatives of their part alone (and the queue).
        gradient_checkpointing: compute activations a second time instead of keeping them.
        precision: ``fp32``; ``bf16`` or ``fp16`` (autocast, the latter with scaled losses); or
            ``auto``: bf16 on a GPU, fp32 elsewhere.
        device: ``auto`` takes a GPU when there is one.
        save_dtype: precision of the weights on disk.
        log_every: steps between two lines of metrics.
        tensorboard: write the metrics for TensorBoard too; needs the extra ``tensorboard``.
        workers: who trains: one process, or several workers.
        checkpoint_every_s: seconds after which the state is saved again; the same command goes on
            from it.
    """

    name: str = Field(min_length=1)
    seed: int = Field(0, ge=0)
    architecture: SerializeAsAny[ArchitectureConfig] = Field("med", validate_default=True)
    start: StartConfig
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    objectives: tuple[SerializeAsAny[ObjectiveConfig], ...] = Field(min_length=1)
    teacher: TeacherConfig | None = None
    queue: int = Field(0, ge=0, le=10_000_000)
    optim: OptimConfig = OptimConfig()
    epochs: int | None = Field(None, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=1_000_000_000)
    final: FinalConfig | None = None
    batch_size: int = Field(64, ge=2, le=65_536)
    accumulate: int = Field(1, ge=1, le=4096)
    gradient_checkpointing: bool = False
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    save_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    log_every: int = Field(10, ge=1)
    tensorboard: bool = tuning(False)
    checkpoint_every_s: float = tuning(300.0, ge=0)
    workers: WorkersConfig = tuning(WorkersConfig())

    @field_validator("architecture", mode="before")
    @classmethod
    def _known_architecture(cls, value: Any) -> Any:
        return families.from_recipe("architectures", value)

    @field_validator("objectives", mode="before")
    @classmethod
    def _known_objectives(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(families.from_recipe("objectives", item) for item in value)

    @model_validator(mode="after")
    def _fits_together(self) -> PretrainConfig:
        if all(objective.from_epoch > 0 for objective in self.objectives):
            raise ValueError("no objective counts in the first epoch: one needs 'from_epoch: 0'")
        one_length(self.epochs, self.steps)
        late = [o.kind for o in self.objectives if o.from_epoch >= (self.epochs or math.inf)]
        if late:
            raise ValueError(f"{late[0]!r} would begin after the last of {self.epochs} epochs")
        trained = self.optim.image_lr_scale > 0
        if self.optim.image_unlocked and not trained:
            raise ValueError("'image_unlocked' has no effect with 'image_lr_scale: 0'")
        if self.data.cache == "image_tokens" and trained and not self.optim.image_unlocked:
            raise ValueError(
                "'cache: image_tokens' needs 'image_lr_scale: 0' or 'image_unlocked': the tower "
                "must not change, or not in its lower part"
            )
        if (
            self.data.cache == "image_tokens"
            and self.data.views == 1
            and not self.augment.does_nothing
        ):
            raise ValueError(
                "'cache: image_tokens' with one view shows pictures whole: give more views, or "
                "'augment: {crop_area: [1, 1], crop_aspect: [1, 1]}'"
            )
        return self

    @model_validator(mode="after")
    def _objectives_have_what_they_need(self) -> PretrainConfig:
        kinds = [objective.kind for objective in self.objectives]
        if len(set(kinds)) < len(kinds):
            raise ValueError("an objective is named twice: give its 'weight' instead")
        able = self.architecture
        for objective in self.objectives:
            if missing := objective.needs - able.can:
                raise ValueError(
                    f"the objective {objective.kind!r} needs a model that can "
                    f"{' and '.join(sorted(missing))}; the architecture {able.kind!r} cannot"
                )
            if objective.teacher == "needs" and self.teacher is None:
                raise ValueError(f"the objective {objective.kind!r} needs a 'teacher'")
            if objective.queue == "needs" and not self.queue:
                raise ValueError(f"the objective {objective.kind!r} needs a 'queue'")
        if self.teacher and all(objective.teacher == "ignores" for objective in self.objectives):
            raise ValueError(f"a teacher has no effect on {', '.join(kinds)}")
        if self.queue and all(objective.queue == "ignores" for objective in self.objectives):
            raise ValueError(f"a queue has no effect on {', '.join(kinds)}")
        if self.queue and self.teacher is None:
            raise ValueError("a 'queue' keeps what a 'teacher' made: give one")
        if self.accumulate * 2 > self.batch_size:
            raise ValueError(
                f"a batch of {self.batch_size} cut into {self.accumulate} has parts of a single "
                "pair, with nothing to compare it with"
            )
        if self.workers.count * self.accumulate > self.batch_size:
            raise ValueError(
                f"a batch of {self.batch_size} cut into {self.accumulate} has parts with less than "
                f"a pair for each of {self.workers.count} workers: take fewer workers or parts"
            )
        if self.workers.shard and self.precision == "fp16":
            raise ValueError("'workers.shard' goes with bf16 or fp32: fp16's scaled losses do not")
        return self

    def on_cluster(self, address: str | None) -> PretrainConfig:
        """Return the same recipe, for workers of a cluster where it names none itself."""
        if self.workers.address is not None:
            return self
        workers = self.workers.model_copy(update={"address": address})
        return self.model_copy(update={"workers": workers})

    def identity(self) -> dict[str, Any]:
        """Return what decides the trained weights, as JSON values: all but speed and patience."""
        said = self.model_dump(mode="json", by_alias=True)
        for name in ("tensorboard", "checkpoint_every_s", "workers"):
            del said[name]
        for name in ("ahead", "cache_folder"):
            del said["data"][name]
        return said


def load_pretrain_recipe(path: Path | str, *, sets: Sequence[str] = ()) -> PretrainConfig:
    """Read and validate a recipe.

    Args:
        path: a YAML file.
        sets: overrides such as ``optim.lr=1e-4``; values are YAML.

    Raises:
        RecipeError: unreadable, or not valid; every problem with its line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [Problem(f"cannot be read: {error}")]) from error
    content, lines, problems = yaml_lines.load(text)
    if not problems and not isinstance(content, dict):
        problems = [Problem("a recipe is a mapping", hint="name:, start:, data:, objectives:")]
    for one in sets if not problems else ():
        problems += override(content, one)
    if problems:
        raise RecipeError(str(path), problems)
    try:
        return PretrainConfig.model_validate(content)
    except ValidationError as error:
        raise RecipeError(
            str(path), validation_problems(error, PretrainConfig, (), lines)
        ) from error
