"""One step of training: losses of a batch, cut into parts where memory is short, and an update.

Shapes: B pairs, L text tokens, M image tokens, D width.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curate.pretrain.augment import augment
from curate.pretrain.cache import encode_loaded
from curate.pretrain.config import PretrainConfig
from curate.pretrain.course import Step
from curate.pretrain.objectives._forward import Drawn, Forward, Pairs
from curate.pretrain.precision import autocast, build_scaler
from curate.pretrain.queues import Queues
from curate.pretrain.teacher import Teacher

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.pair_model import PairModel

_AUGMENT, _OBJECTIVES, LOADING = range(3)


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
        *,
        vocabulary: Mapping[str, int] | None = None,
    ) -> None:
        """Make the parts.

        Args:
            recipe: says which.
            model: what is trained.
            optimizer: of its parameters.
            vocabulary: ids by word piece, for objectives that name words.
        """
        self.vocabulary = vocabulary
        self.recipe, self.model, self.optimizer = recipe, model, optimizer
        self.teacher = Teacher(model, recipe.teacher) if recipe.teacher else None
        self.queues = Queues(recipe.queue, model.device) if recipe.queue else None
        self.scaler = build_scaler(model.device, recipe.precision)

    def take(self, step: Step, loaded: Tensor, kept: list[bool]) -> dict[str, Tensor]:
        """Train on a batch.

        Args:
            step: the texts, and where in the course they stand.
            loaded: the pictures that decode, as ``Images.load`` gives them.
            kept: which of the batch's pictures those are.

        Returns:
            Each objective's loss, their weighted sum ``loss``, and ``grad_norm`` where the weights
            were changed; empty, and nothing is trained, where not two pictures decode.
        """
        import torch

        if sum(kept) < 2:
            return {}
        recipe, model, batch = self.recipe, self.model, step.batch
        rows = torch.tensor(kept)
        ids, mask, image_ids = batch.ids_BL[rows], batch.mask_BL[rows], batch.image_ids_B[rows]
        objectives = [o for o in recipe.objectives if step.epoch >= o.from_epoch]
        generator = chance(recipe.seed, step.number, _OBJECTIVES)
        drawn = {
            o.kind: o.draw(ids, mask, model.config, generator=generator, vocabulary=self.vocabulary)
            for o in objectives
        }
        units = {o.kind: o.units(mask, drawn[o.kind]) for o in objectives}
        loaded = loaded.to(model.device, non_blocking=True)
        if loaded.dtype == torch.uint8:
            distorting = chance(recipe.seed, step.number, _AUGMENT)
            loaded = augment(loaded, recipe.augment, generator=distorting)

        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        seen: list[Forward] = []
        for part in _parts(len(ids), recipe.accumulate):
            own = {kind: {k: x[part] for k, x in found.items()} for kind, found in drawn.items()}
            with autocast(model.device, recipe.precision):
                texts = (ids[part], mask[part], image_ids[part])
                forward = self._forward(loaded[part], texts, own, generator, step)
                total = torch.zeros((), device=model.device)
                for o in objectives:
                    whole = max(1, units[o.kind])
                    share = o.units(mask[part], own[o.kind]) / whole
                    loss = o.loss(forward) * share
                    total = total + o.weight * loss
                    losses[o.kind] = losses.get(o.kind, 0.0) + loss.detach()
            self._backward(total)
            losses["loss"] = losses.get("loss", 0.0) + total.detach()
            seen.append(forward)
        norm = self._update()
        self._remember(seen)
        said = {"loss": losses.pop("loss"), **losses}
        # a step whose scaled gradients overflowed was left out, and has no norm to tell
        left_out = self.scaler is not None and not bool(torch.isfinite(norm))
        return said if left_out else {**said, "grad_norm": norm}

    def _forward(
        self,
        loaded: Tensor,
        texts: tuple[Tensor, Tensor, Tensor],
        drawn: Drawn,
        generator: torch.Generator,
        step: Step,
    ) -> Forward:
        import torch

        device, unlocked = self.model.device, self.recipe.optim.image_unlocked
        ids, mask, image_ids = (x.to(device) for x in texts)
        moved = {
            kind: {name: x.to(device) for name, x in found.items()} for kind, found in drawn.items()
        }
        teaching, alpha = None, 0.0
        if self.teacher is not None:
            with torch.no_grad():
                tokens = encode_loaded(self.teacher.model, loaded, unlocked=unlocked)
            pairs = Pairs(tokens, ids, mask, image_ids)
            teaching = Forward(self.teacher.model, pairs, generator, drawn=moved)
            alpha = self.teacher.alpha(step.epochs_done)
        tokens = encode_loaded(self.model, loaded, unlocked=unlocked)
        pairs = Pairs(tokens, ids, mask, image_ids)
        return Forward(
            *(self.model, pairs, generator),
            drawn=moved,
            teacher=teaching,
            queues=self.queues,
            alpha=alpha,
        )

    def _backward(self, total: Tensor) -> None:
        scaled = self.scaler.scale(total) if self.scaler is not None else total
        scaled.backward()  # type: ignore[no-untyped-call]

    def _update(self) -> Tensor:
        import torch

        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.model.clamp_temperature()
        if self.teacher is not None:
            self.teacher.follow(self.model)
        return norm

    def _remember(self, seen: list[Forward]) -> None:
        """Put the batch into the queues, as the teacher saw it before the update."""
        if self.queues is None:
            return
        for forward in seen:
            teaching = forward.teacher
            assert teaching is not None
            self.queues.add(teaching.image_embeds, teaching.text_embeds, forward.pairs.image_ids_B)

    def state_dict(self) -> dict[str, Any]:
        """Return everything a step changes."""
        return {
            "model": self.model.state_dict(),
            **{name: part.state_dict() for name, part in self._held().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.model.load_state_dict(state["model"])
        for name, part in self._held().items():
            part.load_state_dict(state[name])

    def _held(self) -> dict[str, Any]:
        held: dict[str, Any] = {
            **{"optimizer": self.optimizer, "teacher": self.teacher},
            **{"queues": self.queues, "scaler": self.scaler},
        }
        return {name: part for name, part in held.items() if part is not None}


def _parts(count: int, accumulate: int) -> list[slice]:
    """Cut ``count`` pairs into parts of like size, none of them a single pair if that can be."""
    size = max(2, -(-count // accumulate))
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    ends = [*starts[1:], count]
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]
