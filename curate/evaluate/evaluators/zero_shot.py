"""Zero-shot classification: is a picture nearest to the name of its class.

The text side is the classifier: each class is the mean of its name in several prompts. Not to be
compared between lists of classes: the more there are and the nearer to one another, the harder.

Source: Radford et al. 2021, "CLIP" (https://arxiv.org/abs/2103.00020), sections 3.1.2 and 3.1.4:
prompts are averaged as embeddings of unit norm, and the mean is brought to unit norm again.

Shapes: I images, C classes, T templates, P projection, R resamplings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from curate.core.errors import SourceError, nearest
from curate.core.pairs import TableConfig, open_tables
from curate.evaluate.evaluators._base import EvaluatorConfig, Finding, Subject
from curate.evaluate.intervals import Floats, weighted_mean
from curate.evaluate.pool import Pictures, embed_texts

KS = (1, 5)


class Config(EvaluatorConfig):
    """Pictures with one label each, against the names of all classes.

    Attributes:
        table: pictures, and under ``captions`` the label of each; None: the tables that the other
            evaluators are judged on.
        classes: label -> the words that stand for it in a prompt; empty: every label that occurs
            stands for itself.
        templates: prompts, ``{}`` for the class; their embeddings are averaged.
    """

    kind: Literal["zero_shot"] = "zero_shot"
    table: TableConfig | None = None
    classes: dict[str, str] = Field(default_factory=dict)
    templates: tuple[str, ...] = Field(("a photo of a {}.",), min_length=1)

    @field_validator("templates")
    @classmethod
    def _one_place_each(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} needs one {{}} where the class goes")
        return templates

    @property
    def own_tables(self) -> tuple[TableConfig, ...]:
        """The labelled table, where one is named."""
        return () if self.table is None else (self.table,)

    def evaluate(self, subject: Subject) -> ZeroShotResult:
        """Compare every picture with every class."""
        own = self.own_tables
        seen = subject.pictures(open_tables(own) if own else None)
        labels = _labels(seen)
        names = self.classes or {label: label for label in sorted(set(labels))}
        if unknown := sorted(set(labels) - set(names)):
            raise SourceError(
                f"{len(unknown)} labels of the table are no classes, {unknown[0]!r} first: "
                f"{nearest(unknown[0], names)}"
            )
        if len(names) < 2:
            raise SourceError(f"every picture is labelled {labels[0]!r}: nothing to tell apart")
        places = {label: place for place, label in enumerate(names)}
        found = zero_shot(
            seen.image_embeds,
            self._class_embeds(subject, list(names.values())),
            np.array([places[label] for label in labels]),
        )
        return replace(
            found,
            num_templates=len(self.templates),
            intervals=subject.intervals(found.of_sets, found.num_images),
        )

    def _class_embeds(self, subject: Subject, names: list[str]) -> NDArray[np.float32]:
        prompts = [template.replace("{}", name) for name in names for template in self.templates]
        embeds_XP = embed_texts(
            *(subject.model, subject.tokenizer, prompts), batch_size=subject.batch_size * 4
        )
        return class_embeds(embeds_XP.reshape(len(names), len(self.templates), -1))


@dataclass(frozen=True, eq=False)
class LabelRanks:
    """Ranks from 0: how many wrong classes come before the right one.

    Attributes:
        of_images: [I], of each image's class among all classes.
        labels: [I], number of each image's class.
    """

    of_images: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ZeroShotResult(Finding):
    """How often the right class is nearest.

    Attributes:
        top: by k, share of pictures whose class is among the k nearest.
        per_class: mean over classes of the share of their pictures whose class is the nearest;
            classes without a picture are left out.
        num_images: pictures.
        num_classes: classes to choose from.
        num_templates: prompts that are averaged.
        ranks: what the figures are counted from.
    """

    details: ClassVar[tuple[str, ...]] = ("ranks",)

    top: dict[int, float]
    per_class: float
    num_images: int
    num_classes: int
    num_templates: int = 1
    ranks: LabelRanks

    def of_sets(self, weights_RI: Floats) -> dict[str, Floats]:
        """Return ``top@k`` and ``per_class`` of sets drawn from the images."""
        every, ranks = np.arange(self.num_images), self.ranks
        found = {
            f"top@{k}": weighted_mean((ranks.of_images < k).astype(float), every, weights_RI)
            for k in self.top
        }
        return {**found, "per_class": _per_class(ranks, weights_RI)}

    def lines(self) -> list[str]:
        """Return one line."""
        figures = [
            f"top-{k} {value:6.1%}{self.between(f'top@{k}', '.1%')}"
            for k, value in self.top.items()
        ]
        figures.append(f"per class {self.per_class:6.1%}{self.between('per_class', '.1%')}")
        return [
            f"zero-shot {'  '.join(figures)}   {self.num_images:,} pictures, "
            f"{self.num_classes:,} classes, {self.num_templates} prompt(s)"
        ]


def zero_shot(
    image_embeds: NDArray[np.float32],
    classes_CP: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    ks: tuple[int, ...] = KS,
) -> ZeroShotResult:
    """Rank classes by cosine.

    A tie counts against the model: one that gives every class the same score finds nothing.

    Args:
        image_embeds: [I, P], of unit norm.
        classes_CP: [C, P], of unit norm.
        labels: [I], number of each image's class.
        ks: ranks to report; those of all classes or more are left out, except the first.
    """
    similarity = image_embeds @ classes_CP.T
    of_right = similarity[np.arange(len(labels)), labels]
    ranks = LabelRanks((similarity >= of_right[:, None]).sum(1) - 1, labels)
    told = [k for k in ks if k < len(classes_CP) or k == ks[0]]
    return ZeroShotResult(
        top={k: float((ranks.of_images < k).mean()) for k in told},
        per_class=float(_per_class(ranks, np.ones((1, len(labels))))[0]),
        num_images=len(labels),
        num_classes=len(classes_CP),
        ranks=ranks,
    )


def class_embeds(prompts_CTP: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over templates [C, P], of unit norm, of prompts of unit norm."""
    means = prompts_CTP.mean(1)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    # prompts that cancel out say nothing of their class: no direction is near to any
    return np.asarray(np.divide(means, norms, out=np.zeros_like(means), where=norms > 0))


def _per_class(ranks: LabelRanks, weights_RI: Floats) -> Floats:
    there = np.unique(ranks.labels)
    shares = [
        weighted_mean((ranks.of_images[of] < 1).astype(float), of, weights_RI)
        for label in there
        for of in [np.flatnonzero(ranks.labels == label)]
    ]
    return np.asarray(np.nanmean(np.stack(shares), axis=0))


def _labels(seen: Pictures) -> list[str]:
    found = seen.texts_of()
    if several := [labels for labels in found if len(labels) != 1]:
        raise SourceError(
            f"a picture has the labels {', '.join(map(repr, several[0]))}: zero_shot needs one "
            "each; name their column (--label, or 'table: {captions: ...}')"
        )
    return [label for (label,) in found]
