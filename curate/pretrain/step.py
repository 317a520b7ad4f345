"""One step of training: losses of a batch, cut into parts where memory is short, and an update.

With several workers each objective's loss is the mean over the worker's own pairs, among the
negatives of all workers, weighed by its share of the batch: the sum of these over the workers, and
of their gradients, is what one worker computes from the whole batch.

Shapes: B pairs, L text tokens, M image tokens, D width.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.pretrain.augment import augment
from curate.pretrain.cache import encode_loaded
from curate.pretrain.config import PretrainConfig
from curate.pretrain.course import Step
from curate.pretrain.objectives._forward import Drawn, Forward, Pairs, Whole
from curate.pretrain.precision import autocast, build_scaler
from curate.pretrain.queues import Queues
from curate.pretrain.shares import Part, Shares
from curate.pretrain.teacher import Teacher
from curate.pretrain.world import World

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.pair_model import PairModel
    from curate.pretrain.batch import TextBatch
    from curate.pretrain.objectives._base import ObjectiveConfig

_AUGMENT, _OBJECTIVES, LOADING, DROPOUT = range(4)


def chance(seed: int, step: int, use: int) -> torch.Generator:
    """Return the source of chance of one use in one step.

    It hangs on nothing before it: a training that goes on from a step, or reads ahead in a thread,
    draws what one in a single go would.
    """
    import torch

    mixed = random.Random(f"{seed} {step} {use}").getrandbits(63)
    return torch.Generator().manual_seed(mixed)


class Stepper:
    """Holds what a step changes: model, optimizer, teacher, queues, loss scale."""

    def __init__(
        self,
        recipe: PretrainConfig,
        model: PairModel,
        optimizer: torch.optim.Optimizer,
        world: World | None = None,
        *,
        vocabulary: Mapping[str, int] | None = None,
    ) -> None:
        """Make the parts.

        Args:
            recipe: says which.
            model: what is trained, on its device.
            optimizer: of its parameters.
            world: all workers; None: this one is alone.
            vocabulary: ids by word piece, for objectives that name words.
        """
        self.vocabulary = vocabulary
        self.recipe, self.model, self.optimizer = recipe, model, optimizer
        self.world = world or World()
        self.shares = Shares(self.world, recipe.accumulate)
        self.teacher = Teacher(model, recipe.teacher) if recipe.teacher else None
        self.queues = Queues(recipe.queue, model.device) if recipe.queue else None
        self.scaler = build_scaler(model.device, recipe.precision)
        if recipe.workers.shard:
            from curate.pretrain.sharding import shard

            shard(model, optimizer, self.teacher.model if self.teacher else None, self.world)

    def take(self, step: Step, loaded: Tensor, kept: list[bool]) -> dict[str, Tensor]:
        """Train on a batch; with several workers, each on its share of it.

        Args:
            step: the texts, and where in the course they stand.
            loaded: the pictures of this worker that decode, as ``Images.load`` gives them.
            kept: which of the whole batch's pictures decode.

        Returns:
            Each objective's loss on the whole batch, their weighted sum ``loss``, and ``grad_norm``
            where the weights were changed; empty, and nothing is trained, where not two pictures
            decode.
        """
        import torch

        recipe, batch = self.recipe, step.batch
        if sum(kept) < 2:
            return {}
        everyones = torch.tensor(kept)
        objectives = [o for o in recipe.objectives if step.epoch >= o.from_epoch]
        generator = chance(recipe.seed, step.number, _OBJECTIVES)
        drawn = self._drawn(objectives, batch, generator)
        units = {
            o.kind: o.units(batch.mask_BL[everyones], _rows(drawn[o.kind], everyones))
            for o in objectives
        }
        loaded = self._distorted(loaded, kept, step)
        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        seen: list[Forward] = []
        for part in self.shares.parts(kept):
            own = {kind: _rows(found, part.own) for kind, found in drawn.items()}
            mask = batch.mask_BL[part.own]
            with autocast(self.model.device, recipe.precision):
                forward = self._forward(_pictures(loaded, part), part, own, generator, step)
                total = torch.zeros((), device=self.model.device)
                for o in objectives:
                    num = 0 if part.stands_in else o.units(mask, own[o.kind])
                    share = num / max(1, units[o.kind])
                    loss = o.loss(forward) * share
                    total = total + o.weight * loss
                    losses[o.kind] = losses.get(o.kind, 0.0) + loss.detach()
            self._backward(total)
            losses["loss"] = losses.get("loss", 0.0) + total.detach()
            seen.append(forward)
        norm = self._update()
        self._remember(seen)
        said = self._summed({"loss": losses.pop("loss"), **losses})
        # a step whose scaled gradients overflowed was left out, and has no norm to tell
        left_out = self.scaler is not None and not bool(torch.isfinite(norm))
        return said if left_out else {**said, "grad_norm": norm}

    def _drawn(
        self, objectives: Sequence[ObjectiveConfig], batch: TextBatch, generator: torch.Generator
    ) -> Drawn:
        """Return what the objectives leave to chance, for the whole batch."""
        return {
            o.kind: o.draw(
                *(batch.ids_BL, batch.mask_BL, self.model.config),
                generator=generator,
                vocabulary=self.vocabulary,
            )
            for o in objectives
        }

    def _distorted(self, loaded: Tensor, kept: list[bool], step: Step) -> Tensor:
        """Return this worker's pictures on the device, each distorted as in the whole batch."""
        import torch

        loaded = loaded.to(self.model.device, non_blocking=True)
        if loaded.dtype != torch.uint8:
            return loaded
        count = len(kept)
        rows = [row for row in self.shares.own_rows(count) if kept[row]]
        generator = chance(self.recipe.seed, step.number, _AUGMENT)
        return augment(loaded, self.recipe.augment, generator=generator, among=(count, rows))

    def _summed(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum the workers' shares of each loss."""
        import torch

        summed = self.world.sum(torch.stack(list(losses.values())))
        return dict(zip(losses, summed, strict=True))

    def _forward(
        self,
        loaded: Tensor,
        part: Part,
        drawn: Drawn,
        generator: torch.Generator,
        step: Step,
    ) -> Forward:
        import torch

        device, batch = self.model.device, step.batch
        unlocked = self.recipe.optim.image_unlocked
        texts = (batch.ids_BL, batch.mask_BL, batch.image_ids_B)
        everyones = [x[part.rows].to(device) for x in texts]
        ids, mask, image_ids = (x[part.own].to(device) for x in texts)
        whole = Whole(self.world, part.counts, *everyones)
        moved = {
            kind: {name: x.to(device) for name, x in found.items()} for kind, found in drawn.items()
        }
        teaching, alpha = None, 0.0
        if self.teacher is not None:
            with torch.no_grad():
                tokens = encode_loaded(self.teacher.model, loaded, unlocked=unlocked)
            pairs = Pairs(tokens, ids, mask, image_ids)
            teaching = Forward(self.teacher.model, pairs, generator, drawn=moved, whole=whole)
            alpha = self.teacher.alpha(step.epochs_done)
        tokens = encode_loaded(self.model, loaded, unlocked=unlocked)
        pairs = Pairs(tokens, ids, mask, image_ids)
        return Forward(
            *(self.model, pairs, generator),
            drawn=moved,
            teacher=teaching,
            queues=self.queues,
            alpha=alpha,
            whole=whole,
        )

    def _backward(self, total: Tensor) -> None:
        scaled = self.scaler.scale(total) if self.scaler is not None else total
        scaled.backward()  # type: ignore[no-untyped-call]

    def _update(self) -> Tensor:
        if not self.world.alone:
            from curate.pretrain.sharding import is_shared

            self.world.sum_gradients(p for p in self.model.parameters() if not is_shared(p))
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.model.clamp_temperature()
        if self.teacher is not None:
            self.teacher.follow(self.model)
        return norm

    def _clip(self) -> Tensor:
        """Shorten the gradient to the recipe's norm; returns its norm before."""
        import torch

        parameters, longest = self.model.parameters(), self.recipe.optim.clip
        if not self.recipe.workers.shard:
            return torch.nn.utils.clip_grad_norm_(parameters, longest)
        from curate.pretrain.sharding import clip_gradients

        return clip_gradients(parameters, longest, self.world)

    def _remember(self, seen: list[Forward]) -> None:
        """Put the batch into the queues, as the teacher saw it before the update."""
        if self.queues is None:
            return
        for forward in seen:
            teaching = forward.teacher
            assert teaching is not None
            self.queues.add(
                teaching.all_image_embeds, teaching.all_text_embeds, teaching.all_image_ids
            )

    def state_dict(self) -> dict[str, Any]:
        """Return everything a step changes, whole; every worker calls it.

        The first worker alone gets it, the others get nothing.
        """
        from curate.pretrain.sharding import whole

        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: part.state_dict() for name, part in self._held().items()},
        }
        return whole(state, keep=self.world.first) or {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``, which every worker has read."""
        from curate.pretrain.sharding import load_model, load_optimizer

        load_model(self.model, state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        for name, part in self._held().items():
            part.load_state_dict(state[name])

    def _held(self) -> dict[str, Any]:
        held: dict[str, Any] = {
            **{"teacher": self.teacher, "queues": self.queues, "scaler": self.scaler},
        }
        return {name: part for name, part in held.items() if part is not None}


def _pictures(loaded: Tensor, part: Part) -> Tensor:
    """Return a part's pictures, and a blank one for a pair that stands in."""
    return loaded.new_zeros(1, *loaded.shape[1:]) if part.stands_in else loaded[part.loaded]


def _rows(drawn: dict[str, Tensor], rows: Any) -> dict[str, Tensor]:
    return {name: x[rows] for name, x in drawn.items()}
