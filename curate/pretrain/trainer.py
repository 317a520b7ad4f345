"""The training loop: plain torch, one process, one device.

Shapes: B pairs, M image tokens, D width.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from curate.core.atomic import storage_errors, write_json
from curate.core.errors import RecipeError, StoreError
from curate.pretrain.batch import TextBatch, epoch_batches, num_batches
from curate.pretrain.cache import Images, open_images
from curate.pretrain.checkpoint import save_checkpoint
from curate.pretrain.config import PretrainConfig
from curate.pretrain.data import PairSource, open_tables
from curate.pretrain.optim import build_optimizer, set_rate
from curate.pretrain.precision import autocast, pick_device
from curate.pretrain.start import start_model

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from curate.models.med import MedModel

Echo = Callable[[str], None]

_TELL_EVERY_S = 5.0


@dataclass(frozen=True)
class PretrainResult:
    """What a training made.

    Attributes:
        model: the checkpoint folder.
        metrics: the JSONL file of losses.
        pictures: pictures trained on.
        dropped: pictures that could not be decoded.
        steps: optimizer steps.
        seconds: the loop's time.
        losses: of the last logged steps, by objective; ``loss`` is the weighted sum.
    """

    model: Path
    metrics: Path
    pictures: int
    dropped: int
    steps: int
    seconds: float
    losses: dict[str, float]


def pretrain(
    recipe: PretrainConfig, output: Path, source: PairSource | None = None, echo: Echo = print
) -> PretrainResult:
    """Train a model and write it to ``output/model``.

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
        ModelError: starting weights that are missing or do not fit.
        StoreError: the output folder holds a model already, or cannot be written.
    """
    if (source is None) == (not recipe.data.tables):
        given = (
            "no pairs: give data.tables" if source is None else "pairs twice: leave out data.tables"
        )
        raise RecipeError(recipe.name, [_problem(given)])
    if (output / "model").exists():
        raise StoreError(f"{output / 'model'} is there already: remove it, or give another folder")
    source = source if source is not None else open_tables(recipe.data.tables)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        plain = yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False)
        (output / "recipe.yaml").write_text(plain, encoding="utf-8")
    with _seeded(recipe.seed):
        model, tokenizer = start_model(recipe.start, source.texts())
        model.to(pick_device(recipe.device))
        size = sum(parameter.numel() for parameter in model.parameters())
        echo(f"model: {size / 1e6:.1f} M parameters, on {model.device}")
        trainer = Trainer(recipe, model, tokenizer, source, echo)
        with (output / "metrics.jsonl").open("w", encoding="utf-8") as metrics:
            losses = trainer.run(metrics)
    save_checkpoint(output / "model", model, tokenizer, dtype=recipe.save_dtype)
    result = PretrainResult(
        output / "model",
        output / "metrics.jsonl",
        pictures=len(trainer.images.usable) - len(trainer.broken),
        dropped=len(source) - len(trainer.images.usable) + len(trainer.broken),
        steps=trainer.steps,
        seconds=trainer.seconds,
        losses=losses,
    )
    write_json(
        output / "result.json", {k: _plain(v) for k, v in dataclasses.asdict(result).items()}
    )
    echo(f"model written to {result.model}")
    return result


class Trainer:
    """The loop and what it holds."""

    def __init__(
        self,
        recipe: PretrainConfig,
        model: MedModel,
        tokenizer: PreTrainedTokenizerFast,
        source: PairSource,
        echo: Echo,
    ) -> None:
        import torch

        self.recipe, self.model, self.tokenizer, self.source = recipe, model, tokenizer, source
        self.echo = echo
        self.told = time.monotonic()
        self.broken: set[int] = set()
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.optimizer = build_optimizer(model, recipe.optim)
        model.eval()
        self.images: Images = open_images(source, recipe, model, tell=self._tell)
        self.steps = recipe.epochs * num_batches(len(self.images.usable), recipe.batch_size)
        self.seconds = 0.0

    def run(self, metrics: IO[str]) -> dict[str, float]:
        """Train; returns the last logged losses."""
        self.model.train()
        started = time.monotonic()
        log = _Log(metrics, self.recipe.log_every, last=self.steps - 1)
        for step, (epoch, batch) in enumerate(self._batches()):
            rate = set_rate(self.optimizer, self.recipe.optim, step=step, steps=self.steps)
            losses = self._step(batch, epoch)
            self._tell(
                f"epoch {epoch + 1}/{self.recipe.epochs}, {log.line()}", step + 1, self.steps
            )
            log.add(step, losses, pictures=len(batch.indices), epoch=epoch, lr=rate)
        self.model.eval()
        self.seconds = time.monotonic() - started
        return log.shown

    def _batches(self) -> Iterator[tuple[int, TextBatch]]:
        for epoch in range(self.recipe.epochs):
            for batch in epoch_batches(
                *(self.source, self.images.usable, self.tokenizer),
                batch_size=self.recipe.batch_size,
                max_tokens=min(self.recipe.data.max_text_tokens, self.model.config.max_text_tokens),
                seed=self.recipe.seed,
                epoch=epoch,
            ):
                yield epoch, batch

    def _step(self, batch: TextBatch, epoch: int) -> dict[str, Tensor]:
        import torch

        with autocast(self.model.device, self.recipe.precision):
            losses = self._losses(batch, epoch)
        if not losses:
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip)
        self.optimizer.step()
        self.model.clamp_temperature()
        return {**{name: loss.detach() for name, loss in losses.items()}, "grad_norm": norm}

    def _losses(self, batch: TextBatch, epoch: int) -> dict[str, Tensor]:
        import torch

        from curate.pretrain.objectives._forward import Forward, Pairs

        tokens, kept = self.images.tokens(self.model, batch.indices, generator=self.generator)
        self.broken.update(i for i, good in zip(batch.indices, kept, strict=True) if not good)
        if sum(kept) < 2:
            return {}
        rows, device = torch.tensor(kept), self.model.device
        ids, mask, image_ids = (
            x[rows].to(device) for x in (batch.ids_BL, batch.mask_BL, batch.image_ids_B)
        )
        forward = Forward(self.model, Pairs(tokens, ids, mask, image_ids), self.generator)
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=device)
        for objective in self.recipe.objectives:
            if epoch < objective.from_epoch:
                continue
            loss = objective.loss(forward)
            losses[objective.kind] = loss
            total = total + objective.weight * loss
        return {"loss": total, **losses}

    def _tell(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.told >= _TELL_EVERY_S or done == total:
            self.told = now
            self.echo(f"{what}: {done:,} of {total:,}")


class _Log:
    """Means of the losses between two lines of metrics."""

    def __init__(self, file: IO[str], every: int, *, last: int) -> None:
        self.file, self.every, self.last = file, every, last
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()
        self.count = self.pictures = 0
        self.since = time.monotonic()
        self.shown: dict[str, float] = {}

    def add(
        self, step: int, losses: dict[str, Tensor], *, pictures: int, epoch: int, lr: float
    ) -> None:
        """Take in a step; write a line every so many, and at the last step."""
        if losses:
            self.count += 1
        self.pictures += pictures
        self.counts.update(losses.keys())
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        if ((step + 1) % self.every and step != self.last) or not self.count:
            return
        rate = self.pictures / max(1e-9, time.monotonic() - self.since)
        self.shown = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        row = {"step": step + 1, "epoch": epoch + 1, "lr": lr, "images_per_s": round(rate, 2)}
        self.file.write(json.dumps(row | {k: round(v, 6) for k, v in self.shown.items()}) + "\n")
        self.file.flush()
        self.sums, self.counts = {}, Counter()
        self.count, self.pictures, self.since = 0, 0, time.monotonic()

    def line(self) -> str:
        """Return the losses last written, for people."""
        return " ".join(f"{name} {value:.3f}" for name, value in self.shown.items()) or "starting"


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's global chance (new weights, dropout), and put it back afterwards."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _problem(message: str) -> Any:
    from curate.core.errors import Problem

    return Problem(message, key="data.tables")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
