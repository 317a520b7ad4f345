"""Writing a checkpoint folder: there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from curate.core.atomic import storage_errors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from curate.models.med import MedModel


def save_checkpoint(
    folder: Path, model: MedModel, tokenizer: PreTrainedTokenizerFast, *, dtype: str
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

    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with storage_errors(folder):
        temporary.mkdir(parents=True)
        try:
            save_med(temporary, model, tokenizer, dtype=dtype)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
