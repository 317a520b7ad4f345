"""A checkpoint's config.json, read where the checkpoint may not have been downloaded yet.

Nothing here imports torch or transformers: ``curate plan`` asks for it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from curate.core.errors import ModelError
from curate.models.checkpoints import Checkpoint, local_folder


def read_config(model: str, revision: str | None) -> dict[str, Any]:
    """Return a checkpoint's config.json; of a hub id this one file is fetched, if need be.

    Args:
        model: hub id, folder or embedded name.
        revision: branch, tag or commit on the hub.

    Raises:
        ModelError: it is not there, is damaged, or the hub cannot be reached and it is not cached.
    """
    folder = local_folder(model)
    if folder is None:
        folder = _from_hub(model, revision)
    config = Checkpoint(model, folder, "").read_json("config.json")
    if config is None:
        raise ModelError(f"{folder} has no config.json: it is no transformers checkpoint")
    return config


@functools.lru_cache(maxsize=64)
def _from_hub(model: str, revision: str | None) -> Path:
    """Return the folder of the cache that config.json lies in."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(model, "config.json", revision=revision)).parent
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the config.json of {model!r} is not downloaded and the hub cannot be reached: give "
            "the path of a folder, or download it where there is a network"
        ) from error
    except HfHubHTTPError as error:
        raise ModelError(f"the hub refuses the config.json of {model!r}: {error}") from error
