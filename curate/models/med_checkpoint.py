"""MED checkpoint folders: config.json, model.safetensors and the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.core.errors import ModelError
from curate.models.checkpoints import embedded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.med import MedModel
    from curate.models.pair_model import PairModel

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def load_med(folder: Path) -> tuple[MedModel, PreTrainedTokenizerFast]:
    """Read a MED checkpoint in full precision, on the CPU, ready to evaluate.

    Args:
        folder: the checkpoint, or the name of one that comes with curate (``curate-tiny``).

    Raises:
        ModelError: no such folder, no weights in it, or a checkpoint of another family.
    """
    import torch
    from safetensors import SafetensorError

    from curate.models.med import MedModel
    from curate.models.med_tokenizer import load_tokenizer

    folder = embedded().get(str(folder), folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise ModelError(f"{folder} is no MED checkpoint: it has no {name}")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except ValueError as error:
        raise ModelError(f"{folder / 'config.json'} is no JSON: {error}") from error
    if kind != "med":
        raise ModelError(f"{folder} holds a checkpoint of the family {kind!r}; this needs 'med'")
    with quiet_transformers():
        try:
            model: MedModel = MedModel.from_pretrained(folder, dtype=torch.float32)
        except (RuntimeError, ValueError, OSError, SafetensorError) as error:
            raise ModelError(
                f"the weights in {folder} are not those of its config.json: {error}"
            ) from error
        return model.eval(), load_tokenizer(folder)


def save_med(
    folder: Path, model: PairModel, tokenizer: PreTrainedTokenizerFast, *, dtype: str = "float32"
) -> None:
    """Write a checkpoint into a folder, in the given precision; the model is left as it is."""
    import copy

    import torch

    with quiet_transformers():
        copy.deepcopy(model).to("cpu", getattr(torch, dtype)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hold back transformers' own progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
