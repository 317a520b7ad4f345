"""The state of an unfinished training: one file, whole or not there.

With it the same command goes on as if it had never been stopped: weights, optimizer, chance,
place in the data, teacher and queues.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from curate.core.atomic import TEMPORARY_SUFFIX, damaged, remove_tree, write_whole
from curate.core.errors import StoreError
from curate.core.layout import PROGRESS_FILE
from curate.models.checkpoint_digest import folder_digest
from curate.models.checkpoints import local_folder
from curate.pretrain.config import PretrainConfig
from curate.pretrain.data import PairSource
from curate.pretrain.sections import StartConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "state.pt"


def made_of(recipe: PretrainConfig, source: PairSource) -> dict[str, Any]:
    """Return what a training is made of: recipe, starting weights, and its texts in short.

    A state is good for the very same alone.

    Raises:
        ModelError: starting weights that cannot be read.
    """
    digest = hashlib.sha256()
    for text in source.texts():
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    recipe_json = json.dumps(recipe.identity(), sort_keys=True)
    return {
        "recipe": recipe_json,
        "starting weights": _weights(recipe.start),
        "pictures": len(source),
        "texts": digest.hexdigest(),
    }


def _weights(start: StartConfig) -> str:
    """Return a digest of the files that training starts from; a path may come to hold others."""
    parts = [part.path for part in (start.image, start.text) if part is not None]
    found = []
    for path in (*parts, *([start.from_] if start.from_ is not None else [])):
        folder = local_folder(str(path)) or path
        if folder.is_dir():
            found.append(folder_digest(folder))
        elif folder.is_file():
            with folder.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(found)


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state, in place of an older one.

    Raises:
        StorageFull: no room left; the older one stays.
        StoreError: no permission.
    """
    import torch

    write_whole(folder / FILE, lambda file: torch.save(dict(state), file))


def read_state(folder: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Read the state of an unfinished training, or None where there is none.

    Args:
        folder: the training's output.
        wanted: what the training is made of now.

    Raises:
        StoreError: the file is damaged, or of another recipe or other data.
    """
    import torch

    path = folder / FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["made_of"]
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise damaged(path, error) from error
    changed = [name for name, value in wanted.items() if found.get(name) != value]
    if changed:
        raise StoreError(
            f"{folder} holds an unfinished training with another {' and other '.join(changed)}: "
            "give the same recipe and data to go on, give another folder, or remove it"
        )
    return state


def sweep(folder: Path) -> None:
    """Remove what a killed training left half-written."""
    for name in (FILE, PROGRESS_FILE, "recipe.yaml", "result.json", "model", "transformers"):
        for path in folder.glob(f".{name}.*{TEMPORARY_SUFFIX}"):
            if path.is_dir():
                remove_tree(path)
            else:
                path.unlink()


def remove_state(folder: Path) -> None:
    """Remove the state of a training that is finished."""
    (folder / FILE).unlink(missing_ok=True)
