"""Captioners that may run a checkpoint's own Python code, where the recipe says so outright."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from curate.core.errors import ModelError
from curate.models import checkpoints
from curate.models.checkpoints import Checkpoint
from curate.stages.captioning import CaptionerConfig
from curate.stages.modelling import accepting


class RemoteCodeConfig(CaptionerConfig):
    """Settings of captioners whose checkpoints may bring code.

    Attributes:
        trust_remote_code: run Python code that comes with the checkpoint, with all rights of this
            process; read it first. Its files are part of the fingerprint.
    """

    trust_remote_code: bool = False

    def identity(self) -> dict[str, Any]:
        """Return the settings, the weights' hash and, where it may run, that of the code."""
        said = super().identity()
        folder = checkpoints.local_folder(self.model)
        if self.trust_remote_code and folder is not None:
            said["code"] = _code_digest(folder)
        return said

    def cautions(self) -> list[str]:
        """Say aloud that a stranger's code may run."""
        if not self.trust_remote_code:
            return []
        return [
            f"trust_remote_code: Python code that comes with {self.model} runs with all rights of "
            "this process"
        ]

    def check(self) -> list[str]:
        """Return what is wrong with a local checkpoint; with its own code any type is right."""
        folder = checkpoints.local_folder(self.model)
        if folder is None:
            return []
        try:
            self.require(Checkpoint(folder.name, folder, ""))
        except ModelError as error:
            return [str(error)]
        return []

    def fetched(self) -> Checkpoint:
        """Bring the checkpoint to this machine, with its code where that may run.

        Raises:
            ModelError: it is not there, or the hub cannot be reached and nothing is cached.
        """
        return checkpoints.fetch(self.model, self.revision, code=self.trust_remote_code)

    def require(self, checkpoint: Checkpoint) -> None:
        """Check that a checkpoint is one this stage can load.

        Raises:
            ModelError: another family, no safetensors; a family unknown to transformers whose
                code the recipe does not trust.
        """
        said = checkpoint.read_json("config.json") or {}
        found = str(said.get("model_type"))
        if said.get("auto_map") and found not in self.model_types and not self.trust_remote_code:
            raise ModelError(
                f"{checkpoint.folder} holds a model of type {found!r}, which is made by Python "
                "code that comes with it: read that code, then say trust_remote_code: true to run "
                "it"
            )
        types = (*self.model_types, found) if self.trust_remote_code else self.model_types
        checkpoints.check_folder(checkpoint.folder, types, accepting)


def _code_digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        inner = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(folder)} {inner}\n".encode())
    return whole.hexdigest()
