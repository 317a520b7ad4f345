"""What stages share that read encoded pictures from where they lie and decode them in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
from pydantic import Field

from curate.core.resources import Resources
from curate.core.stage import MapStage
from curate.stages.download._pictures import PictureConfig, Preparer


class RootedConfig(PictureConfig):
    """Options of a stage that reads pictures below a root.

    Attributes:
        root: what the rows' places are relative to.
    """

    root: str = Field(min_length=1)

    @property
    def resources(self) -> Resources:
        """Decodes pictures, so it keeps cores busy."""
        return Resources(num_cpus=1.0, memory_gib=1.0)

    def identity(self) -> dict[str, Any]:
        """Return what decides the pictures; not the folder's own place, as in ``image_folder``."""
        return {key: value for key, value in super().identity().items() if key != "root"}


class DecodingStage(MapStage):
    """Prepares pictures in threads, which live from ``setup`` to ``close``."""

    _pool: ThreadPoolExecutor
    _prepare: Preparer

    def __init__(self, config: PictureConfig) -> None:
        self._options = config

    def setup(self) -> None:
        """Start the threads."""
        cv2.setNumThreads(1)  # OpenCV would start threads of its own in each of ours
        self._prepare = Preparer(self._options)
        self._pool = ThreadPoolExecutor(self._options.decode_threads, "curate-decode")

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()
