"""Load pictures of an image_folder from disk, never from outside its root."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
from pydantic import Field

from curate.core.resources import Resources
from curate.core.stage import Mapped, MapStage
from curate.stages.download._pictures import Outcome, PictureConfig, Preparer, with_pictures


class Config(PictureConfig):
    """Open ``path`` below a folder, check, resize and encode; rows that fail stop with a reason.

    Reasons: ``no_path``, ``missing_file``, ``outside_root`` (absolute paths, ``..``, symbolic
    links that lead out), ``unreadable_file``, ``too_large`` (bytes, or ``max_image_area``),
    ``hash_mismatch``, and those of ``ImageFault``.

    Attributes:
        root: the folder that the paths are relative to: the ``path`` of ``image_folder``.
    """

    root: str = Field(min_length=1)

    @property
    def reads(self) -> tuple[str, ...]:
        """The path below the root."""
        return ("path", *super().reads)

    @property
    def resources(self) -> Resources:
        """Decodes pictures, so it keeps cores busy."""
        return Resources(num_cpus=1.0, memory_gib=1.0)

    def identity(self) -> dict[str, Any]:
        """Return what decides the pictures; not the folder's own place, as in ``image_folder``."""
        return {key: value for key, value in super().identity().items() if key != "root"}

    def check(self) -> list[str]:
        """Return what is wrong with the folder or the hash list."""
        folder = [] if Path(self.root).is_dir() else [f"root {self.root!r} is no folder"]
        return folder + super().check()

    def build(self) -> Load:
        """Build the stage."""
        return Load(self)


class Load(MapStage):
    """Opens and decodes pictures in threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._root = Path(config.root)
        self._pool: ThreadPoolExecutor | None = None
        self._prepare: Preparer | None = None

    def setup(self) -> None:
        """Start the threads."""
        # OpenCV would start threads of its own in each of ours.
        cv2.setNumThreads(1)
        self._root = self._root.resolve()
        self._prepare = Preparer(self._config)
        self._pool = ThreadPoolExecutor(self._config.decode_threads, "curate-decode")

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __call__(self, rows: pa.Table) -> Mapped:
        """Load one partition; results in row order."""
        assert self._pool is not None and self._prepare is not None, "the stage is set up"
        expected = self._prepare.expected(rows)
        outcomes = list(self._pool.map(self._load, rows["path"].to_pylist(), expected))
        return with_pictures(rows, outcomes)

    def _load(self, path: str | None, expected: str | None) -> Outcome:
        assert self._prepare is not None
        if path is None or not path.strip():
            return Outcome(reason="no_path")
        try:
            inside = (self._root / path).resolve()
            fault = self._refused(inside, path)
            return fault or self._prepare(inside.read_bytes(), expected)
        except FileNotFoundError:
            return Outcome(reason="missing_file", detail=path[:300])
        except (OSError, ValueError, RuntimeError) as error:
            return Outcome(reason="unreadable_file", detail=f"{path[:200]}: {error}"[:300])

    def _refused(self, inside: Path, path: str) -> Outcome | None:
        """Return why a file is not opened; None for a plain file of the root's, not too large."""
        if not inside.is_relative_to(self._root):
            return Outcome(reason="outside_root", detail=path[:300])
        found = inside.stat()
        if not stat.S_ISREG(found.st_mode):
            return Outcome(reason="unreadable_file", detail=f"{path[:280]}: no plain file")
        limit = self._config.max_bytes
        if found.st_size > limit:
            return Outcome(reason="too_large", detail=f"{found.st_size} bytes, limit {limit}")
        return None
