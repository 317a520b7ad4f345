"""Loading checkpoints onto a device, or saying what is wrong with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from curate.core.errors import ModelError
from curate.models.checkpoints import Accepting, Checkpoint, check_folder, fetch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


def choose_device(device: Device) -> torch.device:
    """Return the device of this worker; ``auto`` is the GPU it was given, else the CPU.

    Raises:
        ModelError: ``cuda`` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ModelError("device: cuda, but this worker sees no GPU: use auto or cpu")
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def choose_dtype(dtype: Precision, device: torch.device) -> torch.dtype:
    """Return the weights' type; ``auto`` is bfloat16 on a GPU that computes with it, else float32.

    Raises:
        ModelError: float16 on the CPU, which computes with it slowly or not at all.
    """
    if dtype == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if dtype == "float16" and device.type == "cpu":
        raise ModelError("dtype: float16 is for GPUs: on a CPU use float32 or bfloat16")
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


def open_checkpoint(
    model: str, revision: str | None, model_types: Sequence[str], accepting: Accepting
) -> Checkpoint:
    """Fetch a checkpoint and check that it is what the caller accepts.

    Args:
        model: hub id, folder or embedded name.
        revision: branch, tag or commit on the hub.
        model_types: accepted ``model_type`` values.
        accepting: names the stages that accept a ``model_type``; asked only on an error.

    Raises:
        ModelError: see :func:`curate.models.checkpoints.fetch` and ``check_folder``.
    """
    checkpoint = fetch(model, revision)
    check_folder(checkpoint.folder, model_types, accepting)
    return checkpoint


def load_model(
    model_class: Any,
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype,
    trust_remote_code: bool | None = None,
) -> Any:
    """Load a network for inference; every weight it needs must be in the checkpoint.

    Args:
        model_class: a transformers model class.
        checkpoint: a checked checkpoint.
        device: where it shall run.
        dtype: type of its weights.
        trust_remote_code: of an Auto class, whether to run the checkpoint's own code; None for
            classes of transformers, which know no other code.

    Raises:
        ModelError: weights are damaged, of another shape, or not there at all (an ITM checkpoint
            given to a captioner, say), which transformers would fill with random numbers.
    """
    said = {} if trust_remote_code is None else {"trust_remote_code": trust_remote_code}
    with quiet():
        try:
            model, info = model_class.from_pretrained(
                checkpoint.folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **said,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{checkpoint.folder} cannot be loaded: {error}") from error
    missing = sorted(str(name) for name in info["missing_keys"])
    if missing:
        written = (checkpoint.read_json("config.json") or {}).get("architectures") or ["unnamed"]
        raise ModelError(
            f"{checkpoint.folder} was written by {written[0]} and lacks {len(missing)} weights "
            f"that {model_class.__name__} needs (first: {missing[0]}): a captioner needs a "
            "checkpoint that was trained to caption, a scorer one that was trained to match"
        )
    return model.to(device).eval().requires_grad_(False)


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Load the checkpoint's tokenizer; no code of the checkpoint is run.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    from transformers import AutoTokenizer

    # Without its files transformers makes an empty tokenizer, to which every word is unknown.
    names = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")
    if not any((checkpoint.folder / name).is_file() for name in names):
        raise ModelError(f"{checkpoint.folder} has no tokenizer: none of {', '.join(names)}")
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        if isinstance(error, ImportError) and "sentencepiece" in str(error).lower():
            raise ModelError(
                f"the tokenizer of {checkpoint.folder} needs a package that is not installed: "
                "pip install 'curate[siglip]'"
            ) from error
        raise ModelError(f"{checkpoint.folder} has no usable tokenizer: {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' loading bars and reports off the terminal; errors are raised anyway."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
