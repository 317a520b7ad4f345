"""Finding checkpoints: the embedded one, local folders and the hub; what they are, unloaded.

Nothing here imports torch, so ``curate plan`` can ask what a checkpoint is. A checkpoint is an
ordinary transformers folder: config.json, safetensors weights, a tokenizer. Pickled weights are
never read; code that comes with a checkpoint is fetched and run only where a recipe trusts it.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from curate.core.errors import ModelError
from curate.models.checkpoint_digest import PATTERNS, folder_digest

UNRESOLVED = "unresolved"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this machine.

    Attributes:
        name: hub id, embedded name or the folder's name: what captions are signed with.
        folder: where its files are.
        digest: hub commit, or SHA-256 over its files, hex.
    """

    name: str
    folder: Path
    digest: str

    @property
    def signature(self) -> str:
        """Return ``name@`` and twelve digits of the digest."""
        return f"{self.name}@{self.digest[:12]}"

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file of the checkpoint, or None where it has no such file.

        Raises:
            ModelError: the file is damaged.
        """
        return _read_json(self.folder / name)


def embedded() -> dict[str, Path]:
    """Return the checkpoints that come with curate, by name."""
    assets = importlib.resources.files("curate").joinpath("assets")
    if not (isinstance(assets, Path) and assets.is_dir()):
        return {}
    return {path.parent.name: path.parent for path in sorted(assets.glob("*/config.json"))}


def local_folder(model: str) -> Path | None:
    """Return the folder of an embedded or local checkpoint, or None for what may be a hub id."""
    if model in (shipped := embedded()):
        return shipped[model]
    folder = Path(model).expanduser()
    if folder.is_dir() or _HUB_ID.fullmatch(model) is None:
        return folder
    return None


def problems(model: str, model_types: Sequence[str], accepting: Accepting) -> list[str]:
    """Return what is wrong with a checkpoint as far as it can be told without network or loading.

    Args:
        model: hub id, folder or embedded name.
        model_types: what the asking stage accepts, e.g. ``("blip",)``.
        accepting: see :func:`check_folder`.
    """
    folder = local_folder(model)
    if folder is None:
        return []
    try:
        check_folder(folder, model_types, accepting)
    except ModelError as error:
        return [str(error)]
    return []


Accepting = Callable[[str], Sequence[str]]


def check_folder(folder: Path, model_types: Sequence[str], accepting: Accepting) -> None:
    """Check that a folder is a checkpoint of an accepted family, with safe weights.

    Args:
        folder: the checkpoint.
        model_types: accepted ``model_type`` values of config.json.
        accepting: names the stages that accept a given ``model_type``; asked only on an error.

    Raises:
        ModelError: no folder, no or a damaged config.json, another family, no or pickled weights.
    """
    if not folder.is_dir():
        shipped = ", ".join(embedded()) or "no checkpoint"
        raise ModelError(
            f"there is no checkpoint folder {str(folder)!r}, a hub id has the form OWNER/NAME, and "
            f"curate itself comes with {shipped}"
        )
    config = _read_json(folder / "config.json")
    if config is None:
        raise ModelError(
            f"{folder} has no config.json: it is no transformers checkpoint "
            "(save_pretrained writes one)"
        )
    found = str(config.get("model_type"))
    if found not in model_types:
        others = " or ".join(accepting(found)) or "no stage here"
        raise ModelError(
            f"{folder} holds a model of type {found!r}, expected is {' or '.join(model_types)}: "
            f"{others} accepts {found!r}"
        )
    _check_weights(folder)


def _check_weights(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
        if pickles:
            raise ModelError(
                f"{folder} has only pickled weights ({pickles[0]}), which can run code when read: "
                "load it once where you trust it and write safetensors with save_pretrained; on "
                "the hub, a revision like refs/pr/1 often holds the conversion"
            )
        raise ModelError(f"{folder} has no weights: there is no *.safetensors file in it")
    for index in folder.glob("*.safetensors.index.json"):
        shards = set((_read_json(index) or {}).get("weight_map", {}).values())
        missing = sorted(shard for shard in shards if not (folder / str(shard)).is_file())
        if missing:
            raise ModelError(
                f"{folder} is incomplete: {index.name} names {missing[0]!r}, which is not there"
            )


def digest(model: str, revision: str | None) -> str:
    """Return what identifies a checkpoint's files.

    Args:
        model: hub id, folder or embedded name.
        revision: branch, tag or commit on the hub.

    Returns:
        SHA-256 over the files of a folder; the commit of a hub id; ``unresolved`` when the hub
        cannot be reached and the checkpoint was never downloaded here.

    Raises:
        ModelError: the folder is gone, or the hub has no such model or revision.
    """
    folder = local_folder(model)
    if folder is not None:
        return folder_digest(folder)
    return _hub_commit(model, revision or "main") or UNRESOLVED


def downloaded(model: str, revision: str | None) -> bool:
    """Whether a hub id's weights were downloaded here before; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model, "config.json", revision=revision or "main")
    return isinstance(cached, str) and any(Path(cached).parent.glob("*.safetensors"))


def fetch(model: str, revision: str | None, *, code: bool = False) -> Checkpoint:
    """Bring a checkpoint to this machine.

    Args:
        model: hub id, folder or embedded name.
        revision: branch, tag or commit on the hub.
        code: whether the checkpoint's own Python code comes along.

    Raises:
        ModelError: it is not there, or the hub cannot be reached and nothing is cached.
    """
    folder = local_folder(model)
    if folder is not None:
        return Checkpoint(folder.resolve().name, folder, folder_digest(folder))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    commit = _hub_commit(model, revision or "main")
    wanted = [*PATTERNS, "*.py"] if code else [*PATTERNS]
    try:
        path = Path(snapshot_download(model, revision=commit or revision, allow_patterns=wanted))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{model!r} is neither a local folder nor downloaded, and the hub cannot be reached: "
            "give the path of a folder, or download it where there is a network"
        ) from error
    except HfHubHTTPError as error:
        raise ModelError(f"the hub refuses {model!r}: {error}") from error
    return Checkpoint(model, path, path.name if _COMMIT.fullmatch(path.name) else str(commit))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is damaged: it holds no JSON object")
    return found


@functools.lru_cache(maxsize=64)
def _hub_commit(model: str, revision: str) -> str | None:
    """Return a revision's commit: as the hub says, else as downloaded before, else None.

    Raises:
        ModelError: the hub answers that there is no such model or revision.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import constants, get_token, try_to_load_from_cache

    if not constants.HF_HUB_OFFLINE:
        url = f"{constants.ENDPOINT}/api/models/{model}/revision/{urllib.parse.quote(revision, '')}"
        request = urllib.request.Request(url)
        if token := get_token():
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_S) as answer:
                return str(json.load(answer)["sha"])
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403, 404):
                    raise ModelError(
                        f"the hub has no {model!r} at revision {revision!r}, or it is private or "
                        f"gated (HTTP {error.code}): check the name; log in with 'hf auth login'"
                    ) from error
        except (OSError, HTTPException, ValueError, KeyError):
            pass  # not reachable: what was downloaded before still serves
    cached = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(cached).parent.name if isinstance(cached, str) else None
