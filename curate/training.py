"""Training by one process or by several workers, as the recipe has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from curate.core.pairs import PairSource
from curate.pretrain.config import PretrainConfig

Echo = Callable[[str], None]


def train(
    recipe: PretrainConfig, output: Path, source: PairSource | None = None, echo: Echo = print
) -> None:
    """Train a model and write it to ``output/model``; see ``pretrain.trainer.pretrain``.

    Several workers are those of a Ray cluster: the output, the data and starting weights lie where
    every one of its nodes sees them by the same name.

    Args:
        recipe: what to do, and who does it (``workers``).
        output: folder, made when missing.
        source: pairs to train on, instead of the recipe's tables; workers get a copy.
        echo: gets a line of progress now and then.

    Raises:
        CurateError: settings, data or starting weights that do not fit; workers that cannot be had.
        KeyboardInterrupt: stopped on request; the state is saved.
    """
    if recipe.workers.count == 1:
        from curate.pretrain.trainer import pretrain

        pretrain(recipe, output, source, echo)
        return
    from curate.engine.ray_train import run_workers
    from curate.pretrain.trainer import check_new

    check_new(output)
    work = functools.partial(_work, recipe, output.absolute(), source)
    run_workers(work, recipe.workers, folder=output.absolute(), device=recipe.device, echo=echo)


def _work(
    recipe: PretrainConfig,
    output: Path,
    source: PairSource | None,
    echo: Echo,
    asked: Callable[[], bool],
) -> None:
    """Train as one of the workers."""
    from curate.pretrain.trainer import pretrain
    from curate.pretrain.world import World

    if (output / "model").exists():
        return  # done, and started again since a worker was lost after that
    pretrain(recipe, output, source, echo, world=World.joined(), asked=asked)
