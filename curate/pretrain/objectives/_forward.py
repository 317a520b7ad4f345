"""What the objectives of one step share: every part of the model runs at most once.

Shapes: B pairs of this worker, C of all workers, L text tokens, M image tokens, D width,
P projection, Q queue.
"""

# ruff: noqa: N815 - fields carry shape suffixes

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from curate.models.reads_once import ReadsOnce

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.pair_model import PairModel
    from curate.pretrain.objectives._base import ObjectiveConfig
    from curate.pretrain.queues import Queues
    from curate.pretrain.world import World

Drawn = dict[str, dict[str, "Tensor"]]


@dataclass
class Pairs:
    """A batch on the device: B images, each with one text.

    Attributes:
        image_tokens_BMD: from the image tower and its adapter.
        ids_BL: token ids, [CLS] first.
        mask_BL: 1 where there is a token.
        image_ids_B: equal where two pairs show the same picture.
    """

    image_tokens_BMD: Tensor
    ids_BL: Tensor
    mask_BL: Tensor
    image_ids_B: Tensor


@dataclass(frozen=True)
class Whole:
    """The batch of all workers, some of whose pairs are this worker's.

    Attributes:
        world: the workers.
        counts: pairs of each.
        ids_CL: token ids of all pairs, those of the first worker first.
        mask_CL: 1 where there is a token.
        image_ids_C: equal where two pairs show the same picture.
    """

    world: World
    counts: list[int]
    ids_CL: Tensor
    mask_CL: Tensor
    image_ids_C: Tensor

    @property
    def own(self) -> slice:
        """Where this worker's pairs stand among all; one that has none computes the first."""
        count = self.counts[self.world.rank]
        start = sum(self.counts[: self.world.rank]) if count else 0
        return slice(start, start + max(1, count))

    def gather(self, x: Tensor) -> Tensor:
        """Return the rows [C, ...] of all workers, given this one's; see ``World.gather``."""
        return self.world.gather(x[: self.counts[self.world.rank]], self.counts)

    def fetch(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return some rows of all workers, given this one's; see ``World.fetch``."""
        return self.world.fetch(x[: self.counts[self.world.rank]], rows, self.counts)


@dataclass(frozen=True)
class Among:
    """The pairs of all workers, among which a worker's own find their negatives.

    Attributes:
        image_embeds_CP: of unit norm.
        text_embeds_CP: of unit norm; row c belongs to image c.
        image_ids_C: equal where two pairs show the same picture.
    """

    image_embeds_CP: Tensor
    text_embeds_CP: Tensor
    image_ids_C: Tensor


def mean(values: Tensor) -> Tensor:
    """Return the mean of a vector, and 0 with gradients of 0 for an empty one.

    A worker's texts may have nothing that an objective asks for, while others' have.
    """
    return values.mean() if len(values) else values.sum()


def similarity(image_embeds_BP: Tensor, text_embeds_BP: Tensor, *, logit_scale: Tensor) -> Tensor:
    """Return scaled cosines, images down, texts across, in full precision.

    Half precision would round a logit of 14 to a sixteenth.
    """
    import torch

    with torch.autocast(image_embeds_BP.device.type, enabled=False):
        return logit_scale * image_embeds_BP @ text_embeds_BP.T


class Forward:
    """A model's outputs for one batch, computed when first asked for.

    Attributes:
        model: the model in training.
        pairs: the batch.
        generator: source of chance for whoever draws (negatives), on the CPU.
        drawn: what each objective drew for this batch, by its kind.
        teacher: the same of the momentum teacher, without gradients; None where there is none.
        queues: the teacher's embeddings of earlier batches; None where there are none.
        alpha: weight of the teacher's opinion in this step.
        whole: the batch of all workers that the pairs are part of; None where they are all.
    """

    def __init__(
        self,
        model: PairModel,
        pairs: Pairs,
        generator: torch.Generator,
        *,
        drawn: Drawn | None = None,
        teacher: Forward | None = None,
        queues: Queues | None = None,
        alpha: float = 0.0,
        whole: Whole | None = None,
    ) -> None:
        self.model = model
        self.pairs = pairs
        self.generator = generator
        self.drawn = drawn or {}
        self.teacher = teacher
        self.queues = queues
        self.alpha = alpha
        self.whole = None if whole is None or whole.world.alone else whole

    def draws(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """Return what an objective leaves to chance: drawn for the whole batch before, or now."""
        if objective.kind not in self.drawn:
            ids_BL, mask_BL = self.pairs.ids_BL.cpu(), self.pairs.mask_BL.cpu()
            drawn = objective.draw(ids_BL, mask_BL, self.model.config, generator=self.generator)
            device = self.pairs.ids_BL.device
            self.drawn[objective.kind] = {name: x.to(device) for name, x in drawn.items()}
        return self.drawn[objective.kind]

    @cached_property
    def image_embeds(self) -> Tensor:
        """Image embeddings [B, P] of unit norm."""
        return self.model.project_images(self.pairs.image_tokens_BMD).float()

    @cached_property
    def text_embeds(self) -> Tensor:
        """Text embeddings [B, P] of unit norm."""
        if isinstance(self.model, ReadsOnce):
            return self.model.embed_read(self.text_states).float()
        return self.model.encode_texts(self.pairs.ids_BL, self.pairs.mask_BL).float()

    @cached_property
    def text_states(self) -> Tensor:
        """What a model that reads a text once for embedding and captioning makes of it."""
        assert isinstance(self.model, ReadsOnce)
        return self.model.read_texts(self.pairs.ids_BL, self.pairs.mask_BL)

    @cached_property
    def caption_logits(self) -> Tensor:
        """Logits [B, L - 1, V] of the tokens after the first, from the image and those before."""
        if isinstance(self.model, ReadsOnce):
            return self.model.caption_read(self.text_states, self.pairs.image_tokens_BMD)
        inputs_BL = self.pairs.ids_BL[:, :-1].clone()
        inputs_BL[:, 0] = self.model.config.dec_token_id
        return self.model.decode_logits(inputs_BL, self.pairs.image_tokens_BMD)

    # --- what all workers have; where one is alone, the same as its own

    @cached_property
    def all_image_embeds(self) -> Tensor:
        """Image embeddings [C, P] of all workers' pairs; gradients go back to theirs."""
        return self._gathered(self.image_embeds)

    @cached_property
    def all_text_embeds(self) -> Tensor:
        """Text embeddings [C, P] of all workers' pairs; gradients go back to theirs."""
        return self._gathered(self.text_embeds)

    @property
    def among(self) -> Among | None:
        """The pairs of all workers; None where there is no other worker."""
        if self.whole is None:
            return None
        return Among(self.all_image_embeds, self.all_text_embeds, self.all_image_ids)

    def similarities(self) -> tuple[Tensor, Tensor]:
        """Return scaled cosines [B, C]: own images with all texts, own texts with all images."""
        scale = self.model.logit_scale
        i2t_BC = similarity(self.image_embeds, self.all_text_embeds, logit_scale=scale)
        if self.whole is None:
            return i2t_BC, i2t_BC.T
        return i2t_BC, similarity(self.text_embeds, self.all_image_embeds, logit_scale=scale)

    @property
    def all_image_ids(self) -> Tensor:
        """Whose the pictures of all workers' pairs are [C]."""
        return self.pairs.image_ids_B if self.whole is None else self.whole.image_ids_C

    @property
    def all_texts(self) -> tuple[Tensor, Tensor]:
        """Token ids and mask of all workers' pairs, both [C, L]."""
        if self.whole is None:
            return self.pairs.ids_BL, self.pairs.mask_BL
        return self.whole.ids_CL, self.whole.mask_CL

    @property
    def own(self) -> slice:
        """Where this worker's pairs stand among all."""
        return slice(0, len(self.pairs.ids_BL)) if self.whole is None else self.whole.own

    def image_tokens_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens of pictures, those of this worker's B first, and where some pictures' are.

        Args:
            rows: numbers [R] of pictures among all workers'.

        Returns:
            Tokens [B + at most R, M, D], and for each of the R its place among them.
        """
        tokens = self.pairs.image_tokens_BMD
        if self.whole is None:
            return tokens, rows
        import torch

        fetched = self.whole.fetch(tokens, rows)
        places = len(tokens) + torch.arange(len(rows), device=rows.device)
        return torch.cat([tokens, fetched]), places

    def _gathered(self, x: Tensor) -> Tensor:
        return x if self.whole is None else self.whole.gather(x)
