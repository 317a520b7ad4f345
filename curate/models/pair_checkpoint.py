"""Checkpoint folders of what ``curate pretrain`` trains, whatever the architecture."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.core.errors import ModelError
from curate.models.checkpoints import embedded
from curate.models.med_checkpoint import FILES, quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel

#: ``model_type`` of config.json -> module and class.
CLASSES = {
    "med": ("curate.models.med", "MedModel"),
    "dual_encoder": ("curate.models.dual_encoder", "DualEncoder"),
    "albef": ("curate.models.albef", "AlbefModel"),
    "blip_pair": ("curate.models.blip_pair", "BlipPair"),
    "coca": ("curate.models.coca", "CocaModel"),
}
#: ``model_type`` -> what it can do beside embedding: ``match`` (``fuse``), ``write`` (``generate``)
ABILITIES: dict[str, frozenset[str]] = {
    "med": frozenset({"match", "write"}),
    "dual_encoder": frozenset(),
    "albef": frozenset({"match"}),
    "blip_pair": frozenset({"match", "write"}),
    "coca": frozenset({"write"}),
}


def load_pair_model(
    folder: Path, model_types: tuple[str, ...] = tuple(CLASSES)
) -> tuple[PairModel, PreTrainedTokenizerFast]:
    """Read a checkpoint in full precision, on the CPU, ready to evaluate.

    Args:
        folder: the checkpoint, or the name of one that comes with curate (``curate-tiny``).
        model_types: families that are accepted.

    Raises:
        ModelError: no such folder, no weights in it, or a checkpoint of another family.
    """
    import torch
    from safetensors import SafetensorError

    from curate.models.med_tokenizer import load_tokenizer

    folder = embedded().get(str(folder), folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise ModelError(f"{folder} is no checkpoint of curate pretrain: it has no {name}")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except ValueError as error:
        raise ModelError(f"{folder / 'config.json'} is no JSON: {error}") from error
    if kind not in model_types:
        raise ModelError(
            f"{folder} holds a checkpoint of the family {kind!r}; this needs "
            f"{' or '.join(map(repr, model_types))}"
        )
    module, name = CLASSES[kind]
    model_class: Any = getattr(importlib.import_module(module), name)
    with quiet_transformers():
        try:
            model = model_class.from_pretrained(folder, dtype=torch.float32)
        except (RuntimeError, ValueError, OSError, SafetensorError) as error:
            raise ModelError(
                f"the weights in {folder} are not those of its config.json: {error}"
            ) from error
        return model.eval(), load_tokenizer(folder)
