"""Small recipes over real pictures, and a scorer of somebody else's, for tests of whole runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner, Result

from curate.cli import main
from curate.core.families import kinds
from tests.images.pictures import jpeg

#: A package outside curate that adds the scorer ``letters`` by an entry point.
PLUGIN = Path(__file__).parent / "plugin"

TEXTS = (
    "a red dog on the grass",
    "two birds in the snow",
    "DSC_0012",
    "a small house under the old tree",
    "cats",
    "",
    "the quick brown fox jumps over the lazy dog",
)


@contextlib.contextmanager
def installed_plugin() -> Iterator[None]:
    """Make the package importable and its entry points visible while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGIN))
        kinds.cache_clear()
        yield
    kinds.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "letters"]:
        del sys.modules[name]


def picture_folder(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    """Write a picture and a text file for each text; picture 2 is smaller than the others."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        side = 40 if number == 2 else 80
        (folder / f"{number:03d}.jpg").write_bytes(jpeg(number, width=side + number, height=side))
        (folder / f"{number:03d}.txt").write_text(text, encoding="utf-8")
    return folder


def folder_recipe(tmp: Path, **changes: Any) -> dict[str, Any]:
    """Return a recipe over ``tmp/pictures`` whose run is ``tmp/run``; sections can be replaced."""
    pictures = tmp / "pictures"
    recipe: dict[str, Any] = {
        "name": "small",
        "source": {"kind": "image_folder", "path": str(pictures), "partition_rows": 3},
        "stages": [
            {"kind": "load", "root": str(pictures)},
            {"kind": "resolution", "min_side": 60},
            {"kind": "text_length", "min_words": 2},
            {"kind": "letters"},
        ],
        "select": {"kind": "capfilt", "itm": "letters_itm", "threshold": 0.4},
        "output": str(tmp / "run"),
    }
    recipe.update(changes)
    return {key: value for key, value in recipe.items() if value is not None}


def list_recipe(tmp: Path, path: Path, **changes: Any) -> dict[str, Any]:
    """Return a recipe that reads a list and fetches nothing."""
    recipe: dict[str, Any] = {
        "name": "listed",
        "source": {"kind": "url_list", "path": str(path), "partition_rows": 4},
        "stages": [{"kind": "text_length", "min_words": 2}],
        "output": str(tmp / "run"),
    }
    return {**recipe, **changes}


def write_recipe(path: Path, recipe: dict[str, Any] | str) -> Path:
    """Write a recipe as YAML, or as the text it is."""
    text = recipe if isinstance(recipe, str) else yaml.safe_dump(recipe, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def curate(*arguments: str | Path) -> Result:
    """Run the command line in this process; an exception that is no exit is raised."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def curate_process(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command line in a process of its own, with the package above installed."""
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", "from curate.cli import main; main()", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def whole_table(root: Path) -> pa.Table:
    """Return a run's finished rows."""
    from curate.core.table import CommittedTable

    return pa.concat_tables(CommittedTable.open(root).each_rows())


@contextlib.contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    """Mount a disk of so many KiB at a folder; skips the test where mounting is not allowed."""
    with _mounted(folder, ["-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs"]):
        yield folder


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Make a folder read-only: by its permissions, or for root, whom they do not bind, by a mount.

    Skips the test where root may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        mode = folder.stat().st_mode
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(mode)
        return
    with _mounted(folder, ["--bind", str(folder)]):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield folder


@contextlib.contextmanager
def _mounted(folder: Path, what: Sequence[str]) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        said = subprocess.run(
            ["mount", *what, str(folder)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if said.returncode:
        pytest.skip(f"mounting is not allowed here: {said.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
