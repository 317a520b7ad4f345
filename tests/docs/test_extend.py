"""The example of docs/extend.md, taken from the page and run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

import curate
from curate.core import families
from curate.images import encode
from curate.outcome import Reporter
from curate.recipe import parse
from curate.run import run
from tests.docs.pages import ROOT, split

BLOCKS = split(ROOT / "docs" / "extend.md")[1]


def code(language: str, number: int = 0) -> str:
    return [block.code for block in BLOCKS if block.language == language][number]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Install the page's file as a package of somebody else, with the page's entry point."""
    site = tmp_path / "site"
    package = site / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "colour_words.py").write_text(code("python"), encoding="utf-8")
    meta = site / "my_package-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    entries = code("toml").replace("[project.entry-points.", "[").replace('"', "")
    (meta / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(str(site))
    families.kinds.cache_clear()
    yield importlib.import_module("my_package.colour_words")
    families.kinds.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


def test_the_pages_own_test(installed: ModuleType) -> None:
    names: dict[str, Any] = {"Config": installed.Config}
    exec(compile(code("python", 1), "docs/extend.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


def test_it_is_listed(installed: ModuleType) -> None:
    kind = families.find("scorers", "colour_words")
    assert kind.summary() == (installed.__doc__ or "").splitlines()[0]


def test_the_pages_recipe_runs(installed: ModuleType, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, colour in (("fire", (200, 30, 30)), ("sea", (40, 60, 200))):
        pixels = np.full((16, 16, 3), colour, np.uint8)
        (pictures / f"{name}.png").write_bytes(
            encode(pixels, encode_format="png", encode_quality=3)
        )
        (pictures / f"{name}.txt").write_text("a red wall\na wall\n")
    recipe = yaml.safe_load(code("yaml").replace("root: pictures", f"root: {pictures}"))
    recipe |= {
        "name": "painted",
        "source": {"kind": "image_folder", "path": str(pictures)},
        "output": str(tmp_path / "run"),
    }
    result = run(parse(recipe), Reporter())
    assert result.selection is not None
    assert result.selection.facts["selected"] == {"web": 1}
    assert result.selection.facts["rejected"] == {"web": {"below_min": 1, "not_scored": 2}}
    texts = curate.open_run(result.root).texts()
    assert texts["paint_colours"].dropna().tolist() == [1.0, 0.0]
