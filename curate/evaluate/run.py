"""Evaluating a checkpoint on a set of pictures with texts: every evaluator at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.core.atomic import write_json
from curate.core.errors import ModelError
from curate.core.pairs import PairSource, open_tables
from curate.evaluate.captioning import CaptioningResult, captioning
from curate.evaluate.config import EvaluateConfig
from curate.evaluate.matching import MatchingResult, matching
from curate.evaluate.pool import encode_pool
from curate.evaluate.retrieval import RetrievalResult, retrieval


@dataclass(frozen=True)
class EvaluationResult:
    """What was found; None where an evaluator was not asked for.

    Attributes:
        model: the checkpoint folder.
        unreadable: pictures left out, since they cannot be decoded.
        retrieval: recall in both directions.
        matching: matched against shuffled texts and near misses.
        captioning: captions against the given texts.
    """

    model: str
    unreadable: int
    retrieval: RetrievalResult | None = None
    matching: MatchingResult | None = None
    captioning: CaptioningResult | None = None

    def as_json(self, *, ranks: bool = False) -> dict[str, Any]:
        """Return the result as JSON values; with every rank of the retrieval only if asked."""
        said = dataclasses.asdict(self)
        if self.retrieval is not None:
            found = said["retrieval"].pop("ranks")
            if ranks:
                said["retrieval"]["ranks"] = {k: v.tolist() for k, v in found.items()}
        return said

    def lines(self) -> list[str]:
        """Return the result for people, a line per figure."""
        out: list[str] = []
        if self.retrieval is not None:
            r = self.retrieval
            for name, recall, pool in (("i2t", r.i2t, r.num_texts), ("t2i", r.t2i, r.num_images)):
                shown = "  ".join(f"@{k} {value:6.1%}" for k, value in recall.items())
                out.append(f"{name} recall  {shown}   among {pool:,}")
        if self.matching is not None:
            m = self.matching
            out.append(f"AUC ITC {m.itc_auc:.3f}  ITM {m.itm_auc:.3f}   {m.num_images:,} pairs")
            if m.near_itc_auc is not None:
                out.append(
                    f"near misses AUC ITC {m.near_itc_auc:.3f}  ITM {m.near_itm_auc:.3f}   "
                    f"{m.num_near_misses:,} pairs"
                )
        if self.captioning is not None:
            c = self.captioning
            out.append(
                f"captions CIDEr {c.cider:.3f}  BLEU-4 {c.bleu4:.3f}   {c.num_images:,} pictures"
            )
        return out


def evaluate(
    folder: Path,
    config: EvaluateConfig,
    *,
    source: PairSource | None = None,
    output: Path | None = None,
    echo: Callable[[str], None] = print,
) -> EvaluationResult:
    """Evaluate a checkpoint of ``curate pretrain``.

    Args:
        folder: the checkpoint.
        config: what is evaluated, and on what.
        source: pictures with texts, instead of the config's tables.
        output: JSON file to write the result to.
        echo: gets the figures, a line each.

    Raises:
        ModelError: no such checkpoint, or one that an evaluator cannot judge.
        SourceError: tables that cannot be read, or nothing to compare.
        CurateError: an evaluator lacks a package.
    """
    from curate.models.med import MedModel
    from curate.models.pair_checkpoint import EVALUATORS, load_pair_model

    model, tokenizer = load_pair_model(folder)
    able = EVALUATORS[model.config.model_type]
    if beyond := [name for name in config.evaluators if name not in able]:
        raise ModelError(
            f"{folder} is a {model.config.model_type}, which cannot be judged by {beyond[0]}: "
            f"ask for {' and '.join(able)} alone"
        )
    model.to(_device(config.device))
    items = source if source is not None else open_tables(config.tables)
    pool = encode_pool(model, tokenizer, items, batch_size=config.batch_size)
    found: dict[str, Any] = {}
    if "retrieval" in config.evaluators:
        found["retrieval"] = retrieval(pool.image_embeds, pool.text_embeds, pool.owners)
    if "matching" in config.evaluators:
        found["matching"] = matching(model, tokenizer, pool, seed=config.seed)
    if "captioning" in config.evaluators:
        assert isinstance(model, MedModel)
        found["captioning"] = captioning(model, tokenizer, pool)
    result = EvaluationResult(str(folder), pool.unreadable, **found)
    for line in result.lines():
        echo(line)
    if output is not None:
        write_json(output, result.as_json())
    return result


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
