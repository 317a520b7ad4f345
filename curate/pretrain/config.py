"""A pretraining recipe: YAML to frozen configs, validated whole before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from curate.core import families, yaml_lines
from curate.core.config import FrozenConfig
from curate.core.errors import Problem, RecipeError
from curate.core.pairs import TableConfig
from curate.core.validation import override, validation_problems
from curate.pretrain.objectives._base import ObjectiveConfig


class ImageStart(FrozenConfig):
    """Where the image tower's weights come from.

    Attributes:
        kind: ``efficientnet_lite0``, published ImageNet weights as safetensors (made by
            ``python -m curate.pretrain.starting_weights``); ``med``, the tower and its adapter of
            a checkpoint folder.
        path: the file or folder.
    """

    kind: Literal["efficientnet_lite0", "med"]
    path: Path


class TextStart(FrozenConfig):
    """Where the text transformer's weights come from.

    Attributes:
        path: folder of a BERT-shaped checkpoint: config.json, model.safetensors, tokenizer.
        layers: which of its layers to take, in this order; None takes all.
    """

    path: Path
    layers: tuple[int, ...] | None = Field(None, min_length=1)


class StartConfig(FrozenConfig):
    """What training starts from: a whole checkpoint, or parts, or chance.

    Attributes:
        from_: (``from``) a MED checkpoint folder, to go on from; excludes everything else.
        image: weights of the image tower; by chance when left out.
        text: weights of the text transformer; by chance when left out.
        vocabulary: word pieces to keep, the most frequent in the training texts; with ``text``
            None keeps its whole vocabulary.
        model: settings of the model (``MedConfig``) that no starting weights decide.
    """

    from_: Path | None = Field(None, alias="from")
    image: ImageStart | None = None
    text: TextStart | None = None
    vocabulary: int | None = Field(None, ge=100)
    model: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_start(self) -> StartConfig:
        others = self.image or self.text or self.vocabulary or self.model
        if self.from_ is not None and others:
            raise ValueError(
                "'from' is a whole checkpoint: it takes no image, text, vocabulary or model"
            )
        if self.from_ is None and self.text is None and self.vocabulary is None:
            raise ValueError("without text weights the size of the vocabulary must be given")
        return self


class DataConfig(FrozenConfig):
    """What is trained on, and how it is held.

    Attributes:
        tables: tables of images and captions, one after the other; empty when the caller gives
            the pairs (a selection of a run).
        cache: ``none`` decodes in every epoch; ``pixels`` keeps decoded pictures in memory (150
            KB each at 224 pixels); ``image_tokens`` keeps the image tower's output in half
            precision (128 KB each for EfficientNet-Lite0) and needs ``image_lr_scale: 0``.
        views: with ``image_tokens``, versions of each picture: the whole one, then random crops.
        max_text_tokens: longest text, special tokens included; longer ones are cut.
    """

    tables: tuple[TableConfig, ...] = ()
    cache: Literal["none", "pixels", "image_tokens"] = "none"
    views: int = Field(1, ge=1, le=64)
    max_text_tokens: int = Field(32, ge=4, le=512)

    @model_validator(mode="after")
    def _views_are_cached(self) -> DataConfig:
        if self.views > 1 and self.cache != "image_tokens":
            raise ValueError("views has an effect with 'cache: image_tokens' alone")
        return self


class AugmentConfig(FrozenConfig):
    """Random resized crop, as pictures go to the model.

    Attributes:
        crop_area: least and most share of the picture that is kept; (1, 1) keeps it whole.
        crop_aspect: least and most width over height of the crop, relative to the picture's.
        flip: mirror every second picture; off, since it makes "left" and "right" untrue.
    """

    crop_area: tuple[float, float] = (0.5, 1.0)
    crop_aspect: tuple[float, float] = (0.75, 1.3333)
    flip: bool = False

    @model_validator(mode="after")
    def _in_range(self) -> AugmentConfig:
        low, high = self.crop_area
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_area {self.crop_area}: needs 0 < least <= most <= 1")
        low, high = self.crop_aspect
        if not 0.1 <= low <= high <= 10:
            raise ValueError(f"crop_aspect {self.crop_aspect}: needs 0.1 <= least <= most <= 10")
        return self

    @property
    def does_nothing(self) -> bool:
        """Whether pictures stay as they are."""
        return self.crop_area == (1.0, 1.0) and self.crop_aspect == (1.0, 1.0) and not self.flip


class OptimConfig(FrozenConfig):
    """AdamW with warm-up and cosine.

    Attributes:
        lr: highest learning rate.
        image_lr_scale: the image tower's share of it; 0 leaves the tower as it is.
        weight_decay: not on norms and biases.
        betas: decay of the moments.
        warmup: share of the steps in which the rate rises from zero.
        final: share of ``lr`` that is left at the end.
        clip: longest gradient, as a norm.
    """

    lr: float = Field(3e-4, gt=0, le=1)
    image_lr_scale: float = Field(1.0, ge=0, le=10)
    weight_decay: float = Field(0.05, ge=0, le=10)
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = Field(0.05, ge=0, lt=1)
    final: float = Field(0.0, ge=0, le=1)
    clip: float = Field(1.0, gt=0)


def _objective(value: Any) -> Any:
    """Turn ``itc`` or ``{kind: itc, ...}`` into the Config of ``objectives/itc.py``."""
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("kind"), str):
        raise ValueError("an objective needs a 'kind'")
    try:
        return families.find("objectives", value["kind"]).config()(**value)
    except families.UnknownKind as error:
        raise ValueError(str(error)) from error


class PretrainConfig(FrozenConfig):
    """A pretraining recipe.

    Attributes:
        name: of the model.
        seed: of everything left to chance.
        start: what training starts from.
        data: what is trained on.
        augment: random crops.
        objectives: ``itc``, ``itm``, ``lm``, ..., each by name or with its settings; their
            weighted sum is minimised.
        optim: optimizer and schedule.
        epochs: passes over the pictures; each pass takes one text of each.
        batch_size: pairs per step; ITC and ITM find their negatives among them.
        precision: ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 on a GPU, fp32 elsewhere.
        device: ``auto`` takes a GPU when there is one.
        save_dtype: precision of the weights on disk.
        log_every: steps between two lines of metrics.
    """

    name: str = Field(min_length=1)
    seed: int = Field(0, ge=0)
    start: StartConfig
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    objectives: tuple[SerializeAsAny[ObjectiveConfig], ...] = Field(min_length=1)
    optim: OptimConfig = OptimConfig()
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(64, ge=2, le=65_536)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    save_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    log_every: int = Field(10, ge=1)

    @field_validator("objectives", mode="before")
    @classmethod
    def _known_objectives(cls, value: Any) -> Any:
        return (
            tuple(_objective(item) for item in value) if isinstance(value, list | tuple) else value
        )

    @model_validator(mode="after")
    def _fits_together(self) -> PretrainConfig:
        if all(objective.from_epoch > 0 for objective in self.objectives):
            raise ValueError("no objective counts in the first epoch: one needs 'from_epoch: 0'")
        late = [o.kind for o in self.objectives if o.from_epoch >= self.epochs]
        if late:
            raise ValueError(f"{late[0]!r} would begin after the last of {self.epochs} epochs")
        if self.data.cache == "image_tokens" and self.optim.image_lr_scale > 0:
            raise ValueError(
                "'cache: image_tokens' needs 'image_lr_scale: 0': the tower must not change"
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
