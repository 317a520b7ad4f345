"""Load pictures of an image_folder from disk, never from outside its root."""

from __future__ import annotations

import stat
from pathlib import Path

import pyarrow as pa

from curate.core.stage import Mapped
from curate.stages.download._decoding import DecodingStage, RootedConfig
from curate.stages.download._pictures import Outcome, with_pictures


class Config(RootedConfig):
    """Open ``path`` below a folder, check, resize and encode; rows that fail stop with a reason.

    Reasons: ``no_path``, ``missing_file``, ``outside_root`` (absolute paths, ``..``, symbolic
    links that lead out), ``unreadable_file``, ``too_large`` (bytes, or ``max_image_area``),
    ``hash_mismatch``, and those of ``ImageFault``.

    Attributes:
        root: the folder that the paths are relative to: the ``path`` of ``image_folder``.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """The path below the root."""
        return ("path", *super().reads)

    def check(self) -> list[str]:
        """Return what is wrong with the folder or the hash list."""
        folder = [] if Path(self.root).is_dir() else [f"root {self.root!r} is no folder"]
        return folder + super().check()

    def build(self) -> Load:
        """Build the stage."""
        return Load(self)


class Load(DecodingStage):
    """Opens and decodes pictures in threads."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._limit = config.max_bytes
        self._root = Path(config.root)

    def setup(self) -> None:
        """Find the root, and start the threads."""
        self._root = self._root.resolve()
        super().setup()

    def __call__(self, rows: pa.Table) -> Mapped:
        """Load one partition; results in row order."""
        expected = self._prepare.expected(rows)
        outcomes = list(self._pool.map(self._load, rows["path"].to_pylist(), expected))
        return with_pictures(rows, outcomes)

    def _load(self, path: str | None, expected: str | None) -> Outcome:
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
        if found.st_size > self._limit:
            said = f"{found.st_size} bytes, limit {self._limit}"
            return Outcome(reason="too_large", detail=said)
        return None
