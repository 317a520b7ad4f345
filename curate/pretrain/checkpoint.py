"""Writing a checkpoint folder: there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.core.atomic import storage_errors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.pair_model import PairModel
    from curate.pretrain.architectures._base import ArchitectureConfig


def save_checkpoint(
    folder: Path, model: PairModel, tokenizer: PreTrainedTokenizerFast, *, dtype: str
) -> None:
    """Write config.json, model.safetensors and the tokenizer; an older folder is replaced.

    Args:
        folder: the final name.
        model: left as it is.
        tokenizer: its tokenizer.
        dtype: precision on disk, a name of torch's.

    Raises:
        StorageFull: no room left.
        StoreError: no permission.
    """
    from curate.models.med_checkpoint import save_med

    write_folder(folder, lambda temporary: save_med(temporary, model, tokenizer, dtype=dtype))


def export_checkpoints(
    folder: Path,
    architecture: ArchitectureConfig,
    model: PairModel,
    tokenizer: PreTrainedTokenizerFast,
) -> dict[str, Path]:
    """Write the model by the classes of transformers that have its architecture.

    Args:
        folder: gets a folder for each class; not made where there is none.
        architecture: knows the classes.
        model: left as it is.
        tokenizer: its tokenizer.

    Returns:
        Folders by class name.

    Raises:
        StorageFull: no room left.
        StoreError: no permission.
    """
    import copy

    import torch

    names: list[str] = []

    def write(temporary: Path) -> None:
        plain = copy.deepcopy(model).to("cpu", torch.float32)
        names.extend(architecture.export(plain, tokenizer, temporary))

    if not architecture.exports(model.config):
        return {}
    write_folder(folder, write)
    return {name: folder / name for name in names}


def write_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder under a temporary name and rename it; an older one is replaced.

    Args:
        folder: the final name.
        write: gets the temporary folder, empty.

    Raises:
        StorageFull: no room left.
        StoreError: no permission.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with storage_errors(folder):
        temporary.mkdir(parents=True)
        try:
            write(temporary)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
