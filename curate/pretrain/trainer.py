"""Training a model from a recipe: plain torch, on one device or on each of several workers.

A training that was killed goes on from its last state by the same command, and ends with the same
weights: a step's data and chance hang on its number alone, and the state holds the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curate.core.atomic import storage_errors, write_json, write_whole
from curate.core.errors import Problem, RecipeError, StoreError
from curate.core.progress import telling
from curate.pretrain.checkpoint import export_checkpoints, save_checkpoint
from curate.pretrain.config import PretrainConfig
from curate.pretrain.data import PairSource, open_tables
from curate.pretrain.progress import TrainingProgress
from curate.pretrain.start import start_model
from curate.pretrain.state import made_of, read_state, remove_state, sweep
from curate.pretrain.training_loop import Echo, Trainer
from curate.pretrain.world import World


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
    recipe: PretrainConfig,
    output: Path,
    source: PairSource | None = None,
    echo: Echo = print,
    *,
    world: World | None = None,
    asked: Callable[[], bool] | None = None,
) -> PretrainResult:
    """Train a model and write it to ``output/model``; go on where an earlier call was stopped.

    Beside it go ``metrics.jsonl`` (step, epoch, losses, rate, images a second), ``recipe.yaml``
    and ``result.json``. The same recipe, data and machine give the same model. Several workers
    call this alike, each with its world; the first one writes and tells of progress.

    Args:
        recipe: what to do.
        output: folder, made when missing; the same for all workers.
        source: pairs to train on, instead of the recipe's tables.
        echo: gets a line of progress now and then.
        world: all workers; None: this one is alone.
        asked: whether somebody wants the training to stop, beside the signals.

    Raises:
        RecipeError: neither tables nor a source, or both; another number of workers than are here.
        SourceError: tables that cannot be read, or hold nothing to train on.
        ModelError: starting weights that are missing or do not fit; a loss that is no number; a
            GPU that is asked for and not there.
        StoreError: the output folder holds a model already, or an unfinished training of something
            else, or cannot be written.
        KeyboardInterrupt: stopped on request; the state is saved.
    """
    from curate.models.loading import choose_device

    world = world or World()
    _check(recipe, output, source, world)
    device = choose_device(recipe.device)
    source = source if source is not None else open_tables(recipe.data.tables)
    made = made_of(recipe, source)
    state = read_state(output, made)
    _check_shared(world, output, state)
    if world.first:
        _prepare(recipe, output, anew=state is None)
    told = echo if world.first else _silent
    at = TrainingProgress(recipe.name)
    telling_of_it = telling(output, at.facts) if world.first else contextlib.nullcontext()
    with telling_of_it:
        with _seeded(recipe.seed, device):
            started = start_model(recipe.start, source.texts(), recipe.architecture)
            started.model.to(device)
            world.as_first(started.model.state_dict().values())
            size = sum(parameter.numel() for parameter in started.model.parameters())
            told(f"model: {size / 1e6:.1f} M parameters, on {_where(world, started.model.device)}")
            trainer = Trainer(recipe, started, source, output, told, at, world=world, asked=asked)
            losses = trainer.run(made, state)
        return _write_result(recipe, trainer, output, losses, told)


def _check(recipe: PretrainConfig, output: Path, source: PairSource | None, world: World) -> None:
    if (source is None) == (not recipe.data.tables):
        given = (
            "no pairs: give data.tables" if source is None else "pairs twice: leave out data.tables"
        )
        raise RecipeError(recipe.name, [Problem(given, key="data.tables")])
    if recipe.workers.count != world.size:
        said = f"{recipe.workers.count} workers are wanted and {world.size} here: start them first"
        hint = "'curate pretrain' and curate.training.train start them"
        raise RecipeError(recipe.name, [Problem(said, key="workers.count", hint=hint)])
    check_new(output)


def check_new(output: Path) -> None:
    """Check that a folder holds no model yet.

    Raises:
        StoreError: it does.
    """
    if (output / "model").exists():
        raise StoreError(f"{output / 'model'} is there already: remove it, or give another folder")


def _check_shared(world: World, output: Path, state: Mapping[str, Any] | None) -> None:
    """Check that all workers found the same state."""
    if len(set(world.each_says(state["next_step"] if state else 0))) > 1:
        raise StoreError(
            f"{output} holds the state of an unfinished training for some workers and not for "
            "others: give a folder on a file system that all nodes mount at the same place"
        )


def _prepare(recipe: PretrainConfig, output: Path, *, anew: bool) -> None:
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        sweep(output)
        plain = yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False)
        write_whole(output / "recipe.yaml", lambda file: file.write(plain.encode()))
        if anew:
            (output / "metrics.jsonl").unlink(missing_ok=True)


def _where(world: World, device: Any) -> str:
    return str(device) if world.alone else f"{world.size} workers, the first on {device}"


def _silent(line: str) -> None:
    del line


def _write_result(
    recipe: PretrainConfig, trainer: Trainer, output: Path, losses: dict[str, float], echo: Echo
) -> PretrainResult:
    from curate.pretrain.sharding import put_together

    model = put_together(trainer.started.model, keep=trainer.world.first)
    tokenizer = trainer.started.tokenizer
    exports: dict[str, Path] = {}
    if trainer.world.first:
        exports = export_checkpoints(output / "transformers", recipe.architecture, model, tokenizer)
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
    if trainer.world.first:
        said = {k: _plain(v) for k, v in dataclasses.asdict(result).items()}
        write_json(output / "result.json", said)
        # last, as it says that all is there
        save_checkpoint(output / "model", model, tokenizer, dtype=recipe.save_dtype)
        remove_state(output)
    echo(f"model written to {result.model}")
    return result


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
