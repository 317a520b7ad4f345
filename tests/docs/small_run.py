"""A small real run, made like the quickstart's: pictures, captions, scores, canaries, selection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.outcome import Reporter, RunResult
from curate.quickstart.pictures import shipped_pictures
from curate.recipe import parse
from curate.run import run
from tests.models.checkpoints import tiny_med


def make_small_run(folder: Path, output: Path, **sections: Any) -> RunResult:
    """Run ten shipped pictures and a file that is none through a tiny model of chance weights."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, picture in enumerate(shipped_pictures()[:10]):
        (pictures / f"{number}.jpg").write_bytes(picture.path.read_bytes())
        (pictures / f"{number}.txt").write_text(picture.text, encoding="utf-8")
    (pictures / "10.jpg").write_bytes(b"no picture")
    model = str(tiny_med(folder / "models" / "med"))
    recipe = {
        "name": "small",
        "source": {"kind": "image_folder", "path": str(pictures), "partition_rows": 6},
        "stages": [
            {"kind": "load", "root": str(pictures), "resize": 64},
            {"kind": "captioners/med", "model": model, "max_tokens": 8},
            {"kind": "scorers/med", "as": "filter", "model": model, "canaries": 0.5, "embed": True},
        ],
        "select": {"kind": "top_fraction", "column": "filter_itm", "fraction": 0.5},
        "output": str(output),
        **sections,
    }
    return run(parse(recipe), Reporter())
