"""Evaluating a checkpoint on a set of pictures with texts: every evaluator at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.core.atomic import write_json
from curate.core.errors import ModelError
from curate.core.pairs import ListSource, PairSource, open_tables
from curate.evaluate.config import EvaluateConfig
from curate.evaluate.evaluators._base import Finding, Subject


@dataclass(frozen=True)
class EvaluationResult:
    """What was found.

    Attributes:
        model: the checkpoint folder.
        unreadable: pictures left out, since they cannot be decoded.
        resamplings: sets drawn for each interval.
        found: by evaluator.
    """

    model: str
    unreadable: int
    resamplings: int
    found: Mapping[str, Finding]

    def as_json(self, *, ranks: bool = False) -> dict[str, Any]:
        """Return the result as JSON values; with every rank and score only if asked."""
        return {
            "model": self.model,
            "unreadable": self.unreadable,
            "resamplings": self.resamplings,
            **{name: one.to_json(details=ranks) for name, one in self.found.items()},
        }

    def lines(self) -> list[str]:
        """Return the result for people, a line or more for each evaluator."""
        out = [line for one in self.found.values() for line in one.lines()]
        if any(one.intervals for one in self.found.values()):
            out.append(f"in brackets: 95% intervals, {self.resamplings:,} resamplings of pictures")
        return out


def evaluate(
    folder: Path,
    config: EvaluateConfig,
    *,
    source: PairSource | None = None,
    output: Path | None = None,
    image_tokens: Path | None = None,
    echo: Callable[[str], None] = print,
) -> EvaluationResult:
    """Evaluate a checkpoint of ``curate pretrain``.

    Args:
        folder: the checkpoint.
        config: what is evaluated, and on what.
        source: pictures with texts, instead of the config's tables.
        output: JSON file to write the result to.
        image_tokens: folder in which models with the same image tower share its tokens, for many
            are judged on the same pictures; None computes them.
        echo: gets the figures, a line each.

    Raises:
        ModelError: no such checkpoint, or one that an evaluator cannot judge; no such device.
        SourceError: tables that cannot be read, or nothing to compare.
        CurateError: an evaluator lacks a package.
    """
    from curate.models.loading import choose_device
    from curate.models.pair_checkpoint import load_pair_model

    device = choose_device(config.device)
    model, tokenizer = load_pair_model(folder)
    _check_able(folder, model.config.model_type, config)
    model.to(device)
    if source is None:
        source = open_tables(config.tables) if config.needs_tables else ListSource([])
    subject = Subject(
        *(model, tokenizer, source),
        keep_tokens=any(one.needs for one in config.evaluators),
        batch_size=config.batch_size,
        seed=config.seed,
        resamplings=config.resamplings,
        image_tokens=image_tokens,
    )
    found = {one.kind: one.evaluate(subject) for one in config.evaluators}
    unreadable = subject.pool.unreadable if config.needs_tables else 0
    result = EvaluationResult(str(folder), unreadable, config.resamplings, found)
    for line in result.lines():
        echo(line)
    if output is not None:
        write_json(output, result.as_json())
    return result


def _check_able(folder: Path, model_type: str, config: EvaluateConfig) -> None:
    """Refuse evaluators that a model cannot be judged by.

    Raises:
        ModelError: there is one.
    """
    from curate.models.pair_checkpoint import ABILITIES

    able = ABILITIES[model_type]
    if beyond := [one.kind for one in config.evaluators if one.needs - able]:
        left = [one.kind for one in config.evaluators if one.kind not in beyond]
        raise ModelError(
            f"{folder} is a {model_type}, which cannot be judged by {' and '.join(beyond)}: "
            f"ask for {' and '.join(left or ['retrieval'])} alone"
        )
