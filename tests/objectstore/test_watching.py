"""'curate status --watch' of a run on an object store, while another process runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.core.atomic import exists
from curate.core.layout import PROGRESS_FILE
from curate.core.location import store_path
from tests.monitoring.servers import until
from tests.recipes import (
    curate_process,
    folder_recipe,
    installed_plugin,
    picture_folder,
    write_recipe,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def test_it_follows_a_run_to_its_end(tmp_path: Path, place: str) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path, output=place)
    recipe["stages"][3]["sleep_s"] = 6.0
    with curate_process("run", write_recipe(tmp_path / "r.yaml", recipe)) as run:
        there = store_path(place) / PROGRESS_FILE
        until(lambda: exists(there), seconds=60, said="no news")
        watching = curate_process("status", place, "--watch", "--json", "--interval", "1")
        out, err = watching.communicate(timeout=120)
        assert watching.returncode == 0, err
        assert run.wait(timeout=60) == 0
    looks = [json.loads(line) for line in out.splitlines()]
    assert [look["state"] for look in looks] == ["running"] * (len(looks) - 1) + ["finished"]
    assert len(looks) > 2
    assert {look["owner"]["pid"] for look in looks[:-1]} == {run.pid}
    assert all(look["stalled"] is None for look in looks)
    assert looks[-1]["steps"][-1]["partitions"] == 3
