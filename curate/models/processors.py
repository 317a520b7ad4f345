"""Processors of chat models, for still pictures: no torchvision, the same pixels everywhere.

A processor of transformers puts a picture's tokens into a prompt as its family wants them. Many are
also made of a part for videos that cannot be loaded without torchvision, and take torchvision's
resizing where it is installed, whose pixels differ a little from Pillow's. So the parts are put
together here: Pillow's image processor always, and an empty one for videos.
"""

from __future__ import annotations

from typing import Any

from curate.core.errors import ModelError
from curate.models.checkpoints import Checkpoint
from curate.models.loading import load_tokenizer, quiet


def load_processor(checkpoint: Checkpoint, model_type: str, *, trust_remote_code: bool) -> Any:
    """Load a checkpoint's processor.

    Args:
        checkpoint: a checked checkpoint.
        model_type: of its config.json.
        trust_remote_code: run the checkpoint's own processor, if it brings one.

    Raises:
        ModelError: transformers has no processor for it, a part is missing or damaged, or there
            is no chat template.
    """
    try:
        with quiet():
            if trust_remote_code and _brings_its_own(checkpoint):
                from transformers import AutoProcessor

                processor = AutoProcessor.from_pretrained(
                    checkpoint.folder, local_files_only=True, trust_remote_code=True
                )
            else:
                processor = _assembled(checkpoint, model_type)
    except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
        raise ModelError(f"{checkpoint.folder} has no usable processor: {error}") from error
    template = getattr(processor, "chat_template", None)
    if template is None:
        processor.chat_template = getattr(processor.tokenizer, "chat_template", None)
    if processor.chat_template is None:
        raise ModelError(
            f"{checkpoint.folder} has no chat template (chat_template.jinja or "
            "chat_template.json): this stage is for models that are talked to"
        )
    return processor


def _said(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the files that may name a processor, in the order in which transformers asks them."""
    names = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
    return [checkpoint.read_json(name) or {} for name in names]


def _brings_its_own(checkpoint: Checkpoint) -> bool:
    return any("AutoProcessor" in one.get("auto_map", {}) for one in _said(checkpoint))


def _assembled(checkpoint: Checkpoint, model_type: str) -> Any:
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    named = (str(one.get("processor_class")) for one in _said(checkpoint))
    name = next((one for one in named if hasattr(transformers, one)), None)
    name = name or PROCESSOR_MAPPING_NAMES.get(model_type)
    if name is None:
        raise ValueError(f"transformers {transformers.__version__} knows none for {model_type!r}")
    stills = _for_stills(getattr(transformers, name))
    said, _ = stills.get_processor_dict(checkpoint.folder)
    parts: dict[str, Any] = {
        "tokenizer": load_tokenizer(checkpoint),
        "image_processor": _pillows(checkpoint),
        "video_processor": _NoVideos(),
    }
    unknown = sorted(set(stills.get_attributes()) - set(parts))
    if unknown:
        raise ValueError(f"{name} also needs {', '.join(unknown)}")
    processor = stills.from_args_and_dict([parts[one] for one in stills.get_attributes()], said)
    return processor[0] if isinstance(processor, tuple) else processor


def _pillows(checkpoint: Checkpoint) -> Any:
    """Load the image processor that resizes with Pillow.

    Its class is asked for by name where the checkpoint names one: older transformers have no Auto
    class without torchvision.
    """
    import transformers

    said = [one.get("image_processor") or one for one in _said(checkpoint)]
    named = (str(one.get("image_processor_type")) for one in said)
    pillows = (f"{one.removesuffix('Fast').removesuffix('Pil')}Pil" for one in named)
    found = next((one for one in pillows if hasattr(transformers, one)), None)
    if found is not None:
        return getattr(transformers, found).from_pretrained(
            checkpoint.folder, local_files_only=True
        )
    return transformers.AutoImageProcessor.from_pretrained(
        checkpoint.folder, backend="pil", local_files_only=True, trust_remote_code=False
    )


class _NoVideos(dict[str, Any]):
    """Stands where a processor keeps its part for videos: every setting is there and is None.

    A dict, for processors write their parts as JSON into the log.
    """

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _for_stills(processor_class: Any) -> Any:
    """Return the class without its demand for a part that reads videos."""

    def check(self: Any, name: str, argument: Any) -> Any:
        if name == "video_processor":
            return None
        return processor_class.check_argument_for_proper_class(self, name, argument)

    return type(
        processor_class.__name__, (processor_class,), {"check_argument_for_proper_class": check}
    )
