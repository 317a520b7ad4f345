"""The sections of a pretraining recipe: start, data, augment, optim, teacher, final.

``config.py`` puts them together and checks that they fit each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from curate.core.config import FrozenConfig, tuning
from curate.core.pairs import TableConfig


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
        from_: (``from``) a checkpoint folder of the architecture, to go on from; excludes
            everything below but ``image_size``.
        image_size: with ``from``, another side of the pictures, pixels; position embeddings are
            interpolated.
        image: weights of the image tower; by chance when left out.
        text: weights of the text transformer; by chance when left out.
        vocabulary: word pieces to keep, the most frequent in the training texts; with ``text``
            None keeps its whole vocabulary.
        model: settings of the model (those of the architecture's config class) that no starting
            weights decide.
    """

    from_: Path | None = Field(None, alias="from")
    image_size: int | None = Field(None, ge=16, le=4096)
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
        if self.from_ is None and self.image_size is not None:
            raise ValueError(
                "start.image_size changes the size of a checkpoint given as 'from'; the size of a "
                "new model is start.model.image_size"
            )
        if self.from_ is None and self.text is None and self.vocabulary is None:
            raise ValueError("without text weights the size of the vocabulary must be given")
        return self


class TextsConfig(FrozenConfig):
    """How the texts of a picture are mixed: web and synthetic ones, say.

    Attributes:
        mixing: ``turns`` takes one text of each picture an epoch, in turn; ``concatenate`` makes
            every (picture, text) a sample of its own, as BLIP does; ``sample`` draws each time, a
            synthetic text with the probability ``synthetic``.
        synthetic: with ``sample``, how often a picture that has both gets a synthetic text.
        best: keep the so many best-scored texts of a picture, of whatever origin; None keeps all.
    """

    mixing: Literal["turns", "concatenate", "sample"] = "turns"
    synthetic: float | None = Field(None, ge=0, le=1)
    best: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _probability_is_of_a_draw(self) -> TextsConfig:
        if (self.mixing == "sample") != (self.synthetic is not None):
            raise ValueError(
                "'synthetic' is the probability of 'mixing: sample': give both or none"
            )
        return self


class DataConfig(FrozenConfig):
    """What is trained on, and how it is held.

    Attributes:
        tables: tables of images and captions, one after the other; empty when the caller gives
            the pairs (a selection of a run).
        score: the run's score column that says how well a text fits (``filter_itm``, say), where
            the pairs are a selection's; tables name theirs themselves.
        cache: ``none`` decodes in every epoch; ``pixels`` keeps decoded pictures in memory (150
            KB each at 224 pixels); ``image_tokens`` keeps the output of the image tower, or of its
            locked part, in half precision (128 KB each for EfficientNet-Lite0, 18 KB below its
            last two blocks) and needs ``image_lr_scale: 0`` or ``image_unlocked``.
        cache_folder: where ``image_tokens`` are kept on disk, for other trainings too: each picture
            is encoded once for the same tower and settings; None keeps them in memory.
        views: with ``image_tokens``, versions of each picture: the whole one, then random crops.
        max_text_tokens: longest text, special tokens included; longer ones are cut.
        texts: how the texts of a picture are mixed.
        ahead: batches that are read and decoded while the model trains on an earlier one; 0 takes
            turns.
    """

    tables: tuple[TableConfig, ...] = ()
    score: str | None = None
    cache: Literal["none", "pixels", "image_tokens"] = "none"
    cache_folder: Path | None = tuning(None)
    views: int = Field(1, ge=1, le=64)
    max_text_tokens: int = Field(32, ge=4, le=512)
    texts: TextsConfig = TextsConfig()
    ahead: int = tuning(2, ge=0, le=64)

    @model_validator(mode="after")
    def _views_are_cached(self) -> DataConfig:
        if self.views > 1 and self.cache != "image_tokens":
            raise ValueError("views has an effect with 'cache: image_tokens' alone")
        if self.cache_folder is not None and self.cache != "image_tokens":
            raise ValueError("cache_folder has an effect with 'cache: image_tokens' alone")
        return self


class AugmentConfig(FrozenConfig):
    """Random resized crop and RandAugment without colour, as pictures go to the model.

    Attributes:
        crop_area: least and most share of the picture that is kept; (1, 1) keeps it whole.
        crop_aspect: least and most width over height of the crop, relative to the picture's.
        flip: mirror every second picture; off, since it makes "left" and "right" untrue.
        rand_augment: distortions drawn for each picture, one after the other: contrast, brightness,
            sharpness, equalisation, shear, shift, rotation; none that makes a colour word untrue.
        rand_magnitude: their strength, of 10.
    """

    crop_area: tuple[float, float] = (0.5, 1.0)
    crop_aspect: tuple[float, float] = (0.75, 1.3333)
    flip: bool = False
    rand_augment: int = Field(0, ge=0, le=8)
    rand_magnitude: float = Field(5.0, gt=0, le=10)

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
        return not self.crops and not self.rand_augment

    @property
    def crops(self) -> bool:
        """Whether pictures are cut or mirrored."""
        return self.crop_area != (1.0, 1.0) or self.crop_aspect != (1.0, 1.0) or self.flip


class OptimConfig(FrozenConfig):
    """AdamW with warm-up and cosine.

    Attributes:
        lr: highest learning rate.
        image_lr_scale: the image tower's share of it; 0 leaves the tower as it is.
        image_unlocked: train only the tower's last so many blocks, with the head above them, and
            leave what is below as it is, as OpenCLIP's ``--lock-image-unlocked-groups`` does; None
            trains them all.
        fresh_lr_scale: times the rate for layers that begin by chance while others begin trained;
            METER takes 5 (https://arxiv.org/abs/2111.02387, section 4.1).
        layer_decay: times the rate for each layer further from a tower's top, embeddings furthest;
            BEiT takes 0.65 to 0.9 (https://arxiv.org/abs/2106.08254, appendix).
        weight_decay: not on norms and biases.
        betas: decay of the moments.
        warmup: share of the steps in which the rate rises from zero.
        final: share of ``lr`` that is left at the end.
        clip: longest gradient, as a norm.
    """

    lr: float = Field(3e-4, gt=0, le=1)
    image_lr_scale: float = Field(1.0, ge=0, le=10)
    image_unlocked: int | None = Field(None, ge=1, le=1000)
    fresh_lr_scale: float = Field(1.0, gt=0, le=1000)
    layer_decay: float = Field(1.0, gt=0, le=1)
    weight_decay: float = Field(0.05, ge=0, le=10)
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = Field(0.05, ge=0, lt=1)
    final: float = Field(0.0, ge=0, le=1)
    clip: float = Field(1.0, gt=0)


class TeacherConfig(FrozenConfig):
    """A momentum teacher: the running mean of the model, whose opinions soften the targets.

    Source: Li et al. 2021, "ALBEF", section 3.3 (https://arxiv.org/abs/2107.07651).

    Attributes:
        momentum: share of the teacher that is left after a step.
        alpha: weight of its opinion against the hard target; 0 uses its embeddings alone.
        ramp_epochs: epochs over which that weight rises from 0.
    """

    momentum: float = Field(0.995, gt=0, lt=1)
    alpha: float = Field(0.4, ge=0, le=1)
    ramp_epochs: float = Field(1.0, ge=0)


class FinalConfig(FrozenConfig):
    """A last stage on the small best set, as SVD and Emu do.

    Attributes:
        epochs: passes over the best pictures, after the recipe's own course.
        steps: optimizer steps instead.
        share: of the pictures, those whose best text scored highest.
        lr: highest learning rate of this stage; it rises and falls by itself.
    """

    epochs: int | None = Field(None, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=1_000_000_000)
    share: float = Field(gt=0, le=1)
    lr: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _has_a_length(self) -> FinalConfig:
        one_length(self.epochs, self.steps)
        return self


def one_length(epochs: int | None, steps: int | None) -> None:
    """Check that a course is given in epochs or in steps.

    Raises:
        ValueError: in both, or in neither.
    """
    if (epochs is None) == (steps is None):
        raise ValueError("give 'epochs' or 'steps', one of them")
