"""The practice web of a run: its list, its truth, its held-out pictures, and the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa

from curate.core.atomic import write_parquet
from curate.quickstart.config import LoopbackConfig
from curate.quickstart.pictures import Picture, shipped_pictures
from curate.quickstart.plant import Planted, plant
from curate.quickstart.web import Web

HELDOUT_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("image", pa.binary()),
        pa.field("captions", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class PracticeFiles:
    """Where a run's practice list and its truth are.

    Attributes:
        folder: below the run's folder.
    """

    folder: Path

    @classmethod
    def of(cls, output: Path) -> PracticeFiles:
        """Return the files of a run."""
        return cls(output / "loopback")

    @property
    def listing(self) -> Path:
        """The noisy list: URL, TEXT."""
        return self.folder / "list.parquet"

    @property
    def truth(self) -> Path:
        """What was planted, row by row; nothing but the verdict reads it."""
        return self.folder / "truth.parquet"

    @property
    def heldout(self) -> Path:
        """Pictures with descriptions that are in no row of the list."""
        return self.folder / "heldout.parquet"


def write_practice_files(config: LoopbackConfig, output: Path) -> Planted:
    """Write the list, its truth and the held-out pictures where they are missing.

    The same settings give the same bytes.
    """
    pictures = shipped_pictures()
    Random(config.seed).shuffle(pictures)
    held_out, listed = pictures[: config.held_out], pictures[config.held_out :]
    planted = plant(config.seed, listed)
    files = PracticeFiles.of(output)
    if not files.listing.exists() or not files.truth.exists():
        planted.write(files.listing, files.truth)
    if not files.heldout.exists():
        write_parquet(files.heldout, _heldout_table(held_out))
    return planted


@contextlib.contextmanager
def practice_web(config: LoopbackConfig, output: Path) -> Iterator[dict[str, str]]:
    """Serve the practice web while the block runs; yields where its hosts are on loopback."""
    planted = write_practice_files(config, output)
    with Web(planted.pages, refused=planted.refused) as web:
        yield web.resolve_map()


def _heldout_table(pictures: list[Picture]) -> pa.Table:
    rows = [
        {"name": p.path.name, "image": p.path.read_bytes(), "captions": [p.text]} for p in pictures
    ]
    return pa.Table.from_pylist(rows, schema=HELDOUT_SCHEMA)
