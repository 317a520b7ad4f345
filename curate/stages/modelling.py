"""What captioners and scorers share: settings of a model's worker, and its life.

Torch is imported inside functions alone: ``curate plan`` reads these settings without it.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.core.config import MapConfig, tuning
from curate.core.errors import ModelError
from curate.core.families import kinds
from curate.core.resources import Resources
from curate.core.stage import MapStage
from curate.models import checkpoints
from curate.stages.batch_size import CPU_BATCH, BatchSize, gpu_share_used, largest_batch
from curate.stages.decode_ahead import Decoder, Pixels

if TYPE_CHECKING:
    from curate.models.token_memo import TokenMemo


class ModelConfig(MapConfig):
    """Settings of every stage that runs a model.

    Attributes:
        model: hub id, local folder, or the name of a checkpoint that comes with curate
            (``curate-tiny``).
        revision: branch, tag or commit on the hub; None for its main branch.
        device: ``auto`` takes the worker's GPU if it has one; ``cuda`` insists on one.
        dtype: type of the weights; ``auto`` is bfloat16 on a GPU and float32 on a CPU.
        batch_size: images in one call of the model; halved for the rest of a partition when the
            device's memory runs out. ``auto`` is 32 on a CPU; on a GPU the leg's first worker looks
            how many its share of the memory has room for, and the run keeps to that.
        decode_threads: threads that decode the next batch while the model works on this one.
        num_cpus: cores of one worker, and threads of its arithmetic. The number of threads decides
            the last bits of a score, so it is the recipe's and not the machine's.
        num_gpus: share of a GPU of one worker; without effect where ``device`` is ``cpu``.
    """

    model_types: ClassVar[tuple[str, ...]]
    family: ClassVar[str]

    model: str = Field(min_length=1)
    revision: str | None = Field(None, min_length=1)
    device: Literal["auto", "cpu", "cuda"] = tuning("auto")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: BatchSize = tuning(32)
    decode_threads: int = tuning(4, ge=1, le=64)
    num_cpus: float = tuning(1.0, gt=0, le=256)
    num_gpus: float = tuning(1.0, gt=0, le=1)

    @property
    def resources(self) -> Resources:
        """A GPU's share, or cores alone; stages of one checkpoint may share a worker."""
        return Resources(
            num_cpus=self.num_cpus,
            num_gpus=0.0 if self.device == "cpu" else self.num_gpus,
            gpu_optional=self.device == "auto",
            key=f"{self.family}/{self.model}@{self.revision or ''}",
        )

    def identity(self) -> dict[str, Any]:
        """Return the settings, with the checkpoint's name and hash in place of its whereabouts.

        Raises:
            ModelError: the checkpoint is gone, or the hub knows no such model.
        """
        said = super().identity()
        said["weights"] = checkpoints.digest(self.model, self.revision)
        folder = checkpoints.local_folder(self.model)
        if folder is not None:
            said["model"] = folder.resolve().name
        if said["weights"] != checkpoints.UNRESOLVED:
            said.pop("revision", None)
        return said

    def check(self) -> list[str]:
        """Return what is wrong with a local checkpoint; a hub id is checked when it is here."""
        return checkpoints.problems(self.model, self.model_types, accepting)

    @abstractmethod
    def load(self) -> Any:
        """Load the model, on the worker.

        Raises:
            ModelError: the checkpoint cannot be used.
        """


class Prepares(Protocol):
    """A model that says how pictures are prepared for it."""

    def prepare(self, image_HW3: Pixels) -> Pixels:
        """Prepare one RGB picture."""
        ...


Model = TypeVar("Model", bound=Prepares)


class ModelStage(MapStage, Generic[Model]):
    """Life of a stage that runs a model: loaded by ``setup``, with threads that decode for it."""

    def __init__(self, config: ModelConfig) -> None:
        self._model_config = config
        self._model: Model | None = None
        self._decoder: Decoder | None = None
        self._found_size: int | None = None
        self._memo: TokenMemo | None = None

    def setup(self) -> None:
        """Load the model and start the decoding threads."""
        self._model = self._model_config.load()
        threads = self._model_config.decode_threads
        self._decoder = Decoder(self._model.prepare, threads=threads)

    def meet(self, stages: Mapping[str, Any]) -> None:
        """Share the vision tower's work with the stage that the config names as ``beside``.

        Raises:
            ModelError: that stage runs another checkpoint, or this one in another type.
        """
        name = self._model_config.beside
        if name is None:
            return
        from curate.models.token_memo import share_tokens

        first = stages[name]
        if not isinstance(first, ModelStage):
            raise ModelError(f"{name!r} runs no model, so there is nothing to share with it")
        self._memo = first._memo = share_tokens(first._loaded()[0], self._loaded()[0], first._memo)

    def settle(self, settled: Mapping[str, int] | None) -> Mapping[str, int]:
        """Find the batch size where it is ``auto``; see ``MapStage.settle``."""
        if self._model_config.batch_size != "auto":
            return {}
        self._found_size = settled["batch_size"] if settled else self._largest_batch()
        return {"batch_size": self._found_size}

    @property
    def _batch_size(self) -> int:
        """Pictures in a call; found out now where no engine has settled it."""
        size = self._model_config.batch_size
        if size != "auto":
            return size
        return self._found_size or self.settle(None)["batch_size"]

    def _largest_batch(self) -> int:
        from curate.models.loading import choose_device

        config = self._model_config
        if choose_device(config.device).type == "cpu":
            return CPU_BATCH
        model, _ = self._loaded()
        picture = model.prepare(noisy_picture())

        def work(size: int) -> None:
            self._strain(np.stack([picture] * size))

        with threads(config.num_cpus):
            return largest_batch(gpu_share_used(work, share=config.num_gpus))

    def _forget(self) -> None:
        """Begin a partition: let go of what was shared in the last one."""
        if self._memo is not None:
            self._memo.clear()

    @abstractmethod
    def _control(self) -> None:
        """Use the model on a picture that nothing is wrong with; raises when the model is."""

    @abstractmethod
    def _strain(self, images_B3HW: Pixels) -> None:
        """Use the model on prepared pictures, with as much work for each as the recipe allows."""

    def close(self) -> None:
        """Stop the threads and let go of the model."""
        if self._decoder is not None:
            self._decoder.close()
        self._decoder = self._model = None

    def _loaded(self) -> tuple[Model, Decoder]:
        if self._model is None or self._decoder is None:
            raise RuntimeError("the stage was not set up: use it inside 'with stage.ready()'")
        return self._model, self._decoder


def accepting(model_type: str) -> list[str]:
    """Return the stages that accept a checkpoint's ``model_type``, for messages."""
    found = []
    for family in ("captioners", "scorers"):
        for name, kind in kinds(family).items():
            config = kind.config()
            if issubclass(config, ModelConfig) and model_type in config.model_types:
                found.append(f"the {family.removesuffix('s')} {name!r}")
    return found


@contextlib.contextmanager
def threads(num_cpus: float) -> Iterator[None]:
    """Compute on so many threads while the block runs, whatever the machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(num_cpus)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def plain_picture() -> Pixels:
    """Return a picture that nothing is wrong with: a grey one, uint8 [64, 64, 3]."""
    return np.full((64, 64, 3), 128, np.uint8)


def noisy_picture() -> Pixels:
    """Return a picture that is large for a caption model, uint8 [1024, 1024, 3]."""
    return np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)


def lists(rows: pa.Table, name: str) -> list[list[Any]]:
    """Return a list column as Python lists; a null list is an empty one."""
    return [values or [] for values in rows[name].to_pylist()]
