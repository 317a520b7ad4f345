"""The training loop: plain torch, one process, one device.

A training that was killed goes on from its last state by the same command, and ends with the same
weights: a step's data and chance hang on its number alone, and the state holds the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from curate.core.atomic import storage_errors, write_json
from curate.core.errors import Problem, RecipeError, StoreError
from curate.pretrain.ahead import Ahead
from curate.pretrain.cache import open_images
from curate.pretrain.checkpoint import export_checkpoints, save_checkpoint
from curate.pretrain.config import PretrainConfig
from curate.pretrain.course import Course, Step
from curate.pretrain.data import PairSource, open_tables
from curate.pretrain.interrupt import StopAsked
from curate.pretrain.metrics import Metrics
from curate.pretrain.optim import build_optimizer, set_rate
from curate.pretrain.precision import pick_device
from curate.pretrain.recompute import recompute_activations
from curate.pretrain.start import Started, start_model
from curate.pretrain.state import made_of, read_state, remove_state, write_state
from curate.pretrain.step import LOADING, Stepper, chance

if TYPE_CHECKING:
    from torch import Tensor

Echo = Callable[[str], None]

_TELL_EVERY_S = 5.0


@dataclass(frozen=True)
class PretrainResult:
    """What a training made.

    Attributes:
        model: the checkpoint folder.
        exports: folders of the same model as classes of transformers, by class name.
        metrics: the JSONL file of losses.
        pictures: pictures trained on.
        dropped: pictures that could not be decoded.
        steps: optimizer steps.
        seconds: the loop's time since it (re)started.
        losses: of the last logged steps, by objective; ``loss`` is the weighted sum.
    """

    model: Path
    exports: dict[str, Path]
    metrics: Path
    pictures: int
    dropped: int
    steps: int
    seconds: float
    losses: dict[str, float]


def pretrain(
    recipe: PretrainConfig, output: Path, source: PairSource | None = None, echo: Echo = print
) -> PretrainResult:
    """Train a model and write it to ``output/model``; go on where an earlier call was stopped.

    Beside it go ``metrics.jsonl`` (step, epoch, losses, rate, images a second), ``recipe.yaml``
    and ``result.json``. The same recipe, data and machine give the same model.

    Args:
        recipe: what to do.
        output: folder, made when missing.
        source: pairs to train on, instead of the recipe's tables.
        echo: gets a line of progress now and then.

    Raises:
        RecipeError: neither tables nor a source, or both.
        SourceError: tables that cannot be read, or hold nothing to train on.
        ModelError: starting weights that are missing or do not fit; a loss that is no number.
        StoreError: the output folder holds a model already, or an unfinished training of something
            else, or cannot be written.
        KeyboardInterrupt: stopped on request; the state is saved.
    """
    if (source is None) == (not recipe.data.tables):
        given = (
            "no pairs: give data.tables" if source is None else "pairs twice: leave out data.tables"
        )
        raise RecipeError(recipe.name, [Problem(given, key="data.tables")])
    if (output / "model").exists():
        raise StoreError(f"{output / 'model'} is there already: remove it, or give another folder")
    source = source if source is not None else open_tables(recipe.data.tables)
    made = made_of(recipe, source)
    state = read_state(output, made)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        plain = yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False)
        (output / "recipe.yaml").write_text(plain, encoding="utf-8")
        if state is None:
            (output / "metrics.jsonl").unlink(missing_ok=True)
    with _seeded(recipe.seed, pick_device(recipe.device)):
        started = start_model(recipe.start, source.texts(), recipe.architecture)
        started.model.to(pick_device(recipe.device))
        size = sum(parameter.numel() for parameter in started.model.parameters())
        echo(f"model: {size / 1e6:.1f} M parameters, on {started.model.device}")
        trainer = Trainer(recipe, started, source, output, echo)
        losses = trainer.run(made, state)
    return _write_result(recipe, trainer, output, losses, echo)


def _write_result(
    recipe: PretrainConfig, trainer: Trainer, output: Path, losses: dict[str, float], echo: Echo
) -> PretrainResult:
    model, tokenizer = trainer.started.model, trainer.started.tokenizer
    exports = export_checkpoints(output / "transformers", recipe.architecture, model, tokenizer)
    save_checkpoint(output / "model", model, tokenizer, dtype=recipe.save_dtype)
    result = PretrainResult(
        output / "model",
        exports,
        output / "metrics.jsonl",
        pictures=len(trainer.images.usable) - len(trainer.broken),
        dropped=len(trainer.source) - len(trainer.images.usable) + len(trainer.broken),
        steps=trainer.course.steps,
        seconds=trainer.seconds,
        losses=losses,
    )
    write_json(
        output / "result.json", {k: _plain(v) for k, v in dataclasses.asdict(result).items()}
    )
    remove_state(output)
    echo(f"model written to {result.model}")
    return result


class Trainer:
    """The loop and what it holds."""

    def __init__(
        self,
        recipe: PretrainConfig,
        started: Started,
        source: PairSource,
        output: Path,
        echo: Echo,
    ) -> None:
        self.recipe, self.started, self.source, self.output = recipe, started, source, output
        self.echo = echo
        self.told = time.monotonic()
        self.broken: set[int] = set()
        model = started.model
        optimizer = build_optimizer(model, recipe.optim, pretrained=started.pretrained)
        model.eval()
        self.images = open_images(source, recipe, model, tell=self._tell)
        longest = min(recipe.data.max_text_tokens, model.config.max_text_tokens)
        self.course = Course(
            recipe, source, self.images.usable, started.tokenizer, max_tokens=longest
        )
        self.stepper = Stepper(recipe, model, optimizer, vocabulary=started.tokenizer.get_vocab())
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
            self.output / "metrics.jsonl",
            every=recipe.log_every,
            last=self.course.steps - 1,
            tensorboard=recipe.tensorboard,
        )
        first = self._restore(state, metrics) if state is not None else 0
        steps = self._loaded(first)
        with (
            contextlib.closing(metrics),
            StopAsked(self.echo) as stop,
            Ahead(steps, depth=recipe.data.ahead) as ahead,
        ):
            for step, pictures, kept in ahead:
                self._step(step, pictures, kept, metrics, ahead.waited_s)
                if step.number + 1 == self.course.steps:
                    break
                if stop.asked or time.monotonic() - saved >= recipe.checkpoint_every_s:
                    self._save(step.number + 1, made, metrics)
                    saved = time.monotonic()
                if stop.asked:
                    self.echo(
                        f"stopped after step {step.number + 1:,} of {self.course.steps:,}; the "
                        f"state is in {self.output}: the same command goes on"
                    )
                    raise KeyboardInterrupt
        self.started.model.eval()
        self.seconds = time.monotonic() - began
        return metrics.shown

    def _loaded(self, first: int) -> Iterator[tuple[Step, Tensor, list[bool]]]:
        """Yield steps from a number on with their pictures; runs in the thread that reads ahead."""
        for step in self.course.from_step(first):
            generator = chance(self.recipe.seed, step.number, LOADING)
            yield step, *self.images.load(step.batch, generator=generator)

    def _step(
        self, step: Step, pictures: Tensor, kept: list[bool], metrics: Metrics, waited_s: float
    ) -> None:
        set_rate(self.stepper.optimizer, step.lr)
        losses = self.stepper.take(step, pictures, kept)
        indices = step.batch.indices
        self.broken.update(i for i, good in zip(indices, kept, strict=True) if not good)
        metrics.add(
            *(step.number, losses),
            pictures=len(indices),
            epoch=step.epoch,
            lr=step.lr,
            waited_s=waited_s,
        )
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
        now = time.monotonic()
        if now - self.told >= _TELL_EVERY_S or done == total:
            self.told = now
            self.echo(f"{what}: {done:,} of {total:,}")


@contextlib.contextmanager
def _seeded(seed: int, device: Any) -> Iterator[None]:
    """Seed torch's global chance (new weights, dropout), and put it back afterwards."""
    import torch

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value
