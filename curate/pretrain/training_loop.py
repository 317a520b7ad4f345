"""The training loop, and the state that it goes on from."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.core.errors import Problem, RecipeError
from curate.core.interrupt import StopAsked
from curate.pretrain.ahead import Ahead
from curate.pretrain.cache import open_images
from curate.pretrain.config import PretrainConfig
from curate.pretrain.course import Course, Step
from curate.pretrain.data import PairSource
from curate.pretrain.metrics import Metrics
from curate.pretrain.optim import build_optimizer, set_rate
from curate.pretrain.progress import TrainingProgress
from curate.pretrain.recompute import recompute_activations
from curate.pretrain.start import Started
from curate.pretrain.state import write_state
from curate.pretrain.step import DROPOUT, LOADING, Stepper, chance
from curate.pretrain.world import World

if TYPE_CHECKING:
    from torch import Tensor

Echo = Callable[[str], None]

_TELL_EVERY_S = 5.0
#: What the first worker says after each step.
_GO_ON, _SAVE, _STOP = range(3)


class Trainer:
    """The loop and what it holds."""

    def __init__(
        self,
        recipe: PretrainConfig,
        started: Started,
        source: PairSource,
        output: Path,
        echo: Echo,
        at: TrainingProgress,
        *,
        world: World,
        asked: Callable[[], bool] | None = None,
    ) -> None:
        """Build everything the loop needs.

        Args:
            recipe: what to do.
            started: the model and its tokenizer, on their device.
            source: the pairs.
            output: the training's folder.
            echo: gets a line of progress now and then.
            at: is kept up to date, for who looks on.
            world: all workers.
            asked: whether somebody wants the training to stop, beside the signals.

        Raises:
            RecipeError: an objective would begin after the last step.
            SourceError: nothing to train on.
        """
        self.world, self.asked, self.at = world, asked, at
        self.recipe, self.started, self.source, self.output = recipe, started, source, output
        self.echo = echo
        self.told = time.monotonic()
        self.broken: set[int] = set()
        model = started.model
        optimizer = build_optimizer(model, recipe.optim, pretrained=started.pretrained)
        model.eval()
        words = started.tokenizer.get_vocab()
        self.stepper = Stepper(recipe, model, optimizer, world, vocabulary=words)
        self.images = open_images(source, recipe, model, tell=self._tell)
        longest = min(recipe.data.max_text_tokens, model.config.max_text_tokens)
        self.course = Course(
            *(recipe, source, self.images.usable, started.tokenizer),
            max_tokens=longest,
            own_rows=None if world.alone else self.stepper.shares.own_rows,
        )
        _check_reached(recipe, self.course.epochs)
        if recipe.gradient_checkpointing:
            recompute_activations(model)
        self.seconds = 0.0

    def run(self, made: dict[str, Any], state: dict[str, Any] | None) -> dict[str, float]:
        """Train to the end; returns the last logged losses.

        Args:
            made: what the training is made of, kept in its states.
            state: the state to go on from; None begins.

        Raises:
            KeyboardInterrupt: stopped on request, after the state was saved.
        """
        recipe = self.recipe
        self.started.model.train()
        began = saved = time.monotonic()
        metrics = Metrics(
            self.output / "metrics.jsonl" if self.world.first else None,
            every=recipe.log_every,
            last=self.course.steps - 1,
            tensorboard=recipe.tensorboard,
        )
        first = self._restore(state, metrics) if state is not None else 0
        self.at.begin(first, self.course.steps)
        steps = self._loaded(first)
        with (
            contextlib.closing(metrics),
            StopAsked(self.echo, self.asked) as stop,
            Ahead(steps, depth=recipe.data.ahead) as ahead,
        ):
            for step, pictures, kept in ahead:
                self._step(step, pictures, kept, metrics, ahead.waited_s)
                if step.number + 1 == self.course.steps:
                    break
                said = self._says(stop, time.monotonic() - saved)
                if said != _GO_ON:
                    self._save(step.number + 1, made, metrics)
                    saved = time.monotonic()
                if said == _STOP:
                    self.echo(
                        f"stopped after step {step.number + 1:,} of {self.course.steps:,}; the "
                        f"state is in {self.output}: the same command goes on"
                    )
                    raise KeyboardInterrupt
        self.started.model.eval()
        self.seconds = time.monotonic() - began
        return metrics.shown

    def _says(self, stop: StopAsked, since_saved_s: float) -> int:
        """Return what the first worker wants after a step: all workers do it together."""
        wish = _SAVE if since_saved_s >= self.recipe.checkpoint_every_s else _GO_ON
        return self.world.first_says(_STOP if stop.asked else wish)

    def _loaded(self, first: int) -> Iterator[tuple[Step, Tensor, list[bool]]]:
        """Yield steps from a number on with their pictures; runs in the thread that reads ahead."""
        for step in self.course.from_step(first):
            generator = chance(self.recipe.seed, step.number, LOADING)
            yield step, *self.images.load(step.batch, generator=generator)

    def _step(
        self, step: Step, pictures: Tensor, kept: list[bool], metrics: Metrics, waited_s: float
    ) -> None:
        import torch

        set_rate(self.stepper.optimizer, step.lr)
        if not self.world.alone:  # each drops out otherwise; a worker alone keeps one stream
            use = DROPOUT + self.world.rank
            torch.manual_seed(chance(self.recipe.seed, step.number, use).initial_seed())
        indices = step.batch.indices
        everyones = self.stepper.shares.kept_by_all(kept, len(indices))
        losses = self.stepper.take(step, pictures, everyones)
        self.broken.update(i for i, good in zip(indices, everyones, strict=True) if not good)
        metrics.add(
            *(step.number, losses),
            pictures=len(indices),
            epoch=step.epoch,
            lr=step.lr,
            waited_s=self.world.each_says(waited_s),
        )
        self.at.step = step.number + 1
        epoch = f"epoch {step.epoch + 1}/{self.course.epochs}, {metrics.line()}"
        self._tell(epoch, step.number + 1, self.course.steps)

    def _save(self, next_step: int, made: dict[str, Any], metrics: Metrics) -> None:
        import torch

        device = self.started.model.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        state = {
            "made_of": made,
            "next_step": next_step,
            "chance": torch.get_rng_state(),
            "chance_cuda": cuda,
            "broken": sorted(self.broken),
            "metrics": metrics.state_dict(),
            **self.stepper.state_dict(),
        }
        if self.world.first:
            write_state(self.output, state)

    def _restore(self, state: dict[str, Any], metrics: Metrics) -> int:
        """Take a state over; returns the next step."""
        import torch

        self.stepper.load_state_dict(state)
        metrics.load_state_dict(state["metrics"])
        self.broken = set(state["broken"])
        torch.set_rng_state(state["chance"])
        if state["chance_cuda"] is not None:
            torch.cuda.set_rng_state(state["chance_cuda"], self.started.model.device)
        first: int = state["next_step"]
        self.echo(f"going on after step {first:,} of {self.course.steps:,}")
        return first

    def _tell(self, what: str, done: int, total: int) -> None:
        if not self.world.first:
            return
        self.at.doing = what
        now = time.monotonic()
        if now - self.told >= _TELL_EVERY_S or done == total:
            self.told = now
            self.echo(f"{what}: {done:,} of {total:,}")


def _check_reached(recipe: PretrainConfig, epochs: int) -> None:
    """Check that every objective comes to count; of a length in steps the data decide that."""
    for objective in recipe.objectives:
        if objective.from_epoch >= epochs:
            said = f"{objective.kind!r} would begin after the last of {epochs} epochs"
            hint = "lower its 'from_epoch', or train for more steps"
            raise RecipeError(recipe.name, [Problem(said, key="objectives", hint=hint)])
