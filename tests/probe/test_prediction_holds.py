"""A prediction against the run it predicts: ten minutes of real captions and scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from curate.quickstart.pictures import shipped_pictures
from tests.recipes import write_recipe

#: How long the run should be, and how far off the prediction may be.
RUN_S, OFF = 600.0, 0.2


def recipe_of(folder: Path, rows: int) -> Path:
    """Write a recipe over so many pictures: the shipped ones again and again, each a file."""
    pictures = folder / f"pictures-{rows}"
    shipped = shipped_pictures()
    for number in range(rows):
        picture, place = shipped[number % len(shipped)], pictures / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture.path, place / f"{number:06d}{picture.path.suffix}")
        (place / f"{number:06d}.txt").write_text(picture.text, encoding="utf-8")
    model = {"model": "curate-tiny", "num_cpus": 2}
    return write_recipe(
        folder / f"recipe-{rows}.yaml",
        {
            "name": f"long-{rows}",
            "source": {"kind": "image_folder", "path": str(pictures), "partition_rows": 200},
            "stages": [
                {"kind": "load", "root": str(pictures), "resize": 288},
                {"kind": "resolution", "min_side": 64},
                {"kind": "text_length", "min_words": 2, "max_words": 64},
                {"kind": "captioners/med", "max_tokens": 20, **model},
                {"kind": "scorers/med", "as": "filter", **model},
            ],
            "select": {"kind": "capfilt", "itm": "filter_itm", "threshold": 0.1},
            "sinks": [{"kind": "lance"}],
            "export": [{"kind": "webdataset", "shard_rows": 1000}],
            "output": str(folder / f"run-{rows}"),
        },
    )


def command(*arguments: str | Path) -> Any:
    """Run ``curate`` in a process of its own; returns what it prints as JSON."""
    code = "from curate.cli import main; main()"
    words = [sys.executable, "-c", code, *map(str, arguments), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_time_of_a_run_of_ten_minutes_is_predicted_within_a_fifth(tmp_path: Path) -> None:
    first = command("plan", recipe_of(tmp_path, 2000), "--probe", "128", "--again")
    rows = round(2000 * RUN_S / first["prediction"]["seconds"]["value"])
    recipe = recipe_of(tmp_path, rows)
    said = command("plan", recipe, "--probe", "512", "--again")["prediction"]
    begun = time.monotonic()
    result = command("run", recipe)
    taken = time.monotonic() - begun
    size = sum(path.stat().st_size for path in (tmp_path / f"run-{rows}").rglob("*.*"))
    ratios = {
        "time": said["seconds"]["value"] / taken,
        "rows kept": said["rows_kept"]["value"] / result["kept"],
        "selected": said["selected"]["value"] / sum(result["selection"]["selected"].values()),
        "disk": said["num_bytes"]["value"] / size,
    }
    print(f"\n{rows} rows in {taken:.0f} s; predicted {said['seconds']}; predicted/real {ratios}")
    for name, ratio in ratios.items():
        assert 1 - OFF <= ratio <= 1 + OFF, name
