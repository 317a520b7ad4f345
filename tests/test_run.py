"""Whole runs of small recipes over real pictures, in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate
from curate import recipe as recipes
from curate.core.errors import OtherRun, RunLocked
from curate.core.lease import LEASE_FOLDER, owned
from curate.outcome import Reporter, RunResult, result_json
from curate.run import run as run_recipe
from tests.images.pictures import jpeg
from tests.recipes import (
    TEXTS,
    folder_recipe,
    installed_plugin,
    picture_folder,
    whole_table,
    write_recipe,
)
from tests.stages.download.site import response, serve


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def run(tmp: Path, recipe: dict[str, Any], **options: Any) -> RunResult:
    return run_recipe(recipes.load(write_recipe(tmp / "r.yaml", recipe)), Reporter(), **options)


def stamps(root: Path) -> dict[str, int]:
    """When each file of the passes, selections, shards and the view was written."""
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for folder in ("passes", "selections", "shards", "table.lance", "source")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def test_a_run_from_pictures_to_shards_and_again(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path, sinks=[{"kind": "lance"}], export=[{"kind": "webdataset"}])
    first = run(tmp_path, recipe)
    assert not first.nothing_to_do
    assert (first.passes.rows, first.passes.kept) == (len(TEXTS), len(TEXTS) - 1)
    assert first.passes.dropped == {"resolution": {"too_small": 1}}
    assert first.selection is not None
    facts = first.selection.facts
    assert facts["texts"] == first.selection.selected + sum(facts["rejected"]["web"].values())
    assert facts["selected"] == {"web": 3}
    assert facts["rejected"] == {"web": {"too_few_words": 1, "itm_below_threshold": 1}}
    assert first.sinks["lance"]["rows"] == first.passes.kept
    assert first.exports["webdataset"]["samples"] == first.selection.selected
    before = stamps(tmp_path / "run")
    again = run(tmp_path, recipe)
    assert again.nothing_to_do
    assert stamps(tmp_path / "run") == before
    assert {**result_json(again), "nothing_to_do": False, "sinks": None} == {
        **result_json(first),
        "sinks": None,
    }
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written == json.loads(json.dumps(result_json(again)))


def test_the_resolved_recipe_says_what_decided_the_results(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    resolved = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert resolved["stages"][1]["kind"] == "filters/resolution"
    assert resolved["stages"][1]["min_side"] == 60
    assert "power" not in resolved["stages"][3]  # a default
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["versions"]["curate"] == curate.__version__
    assert {"python", "pyarrow", "torch"} <= set(plan["versions"])
    assert plan["stages"][3]["stage"] == "scorers/letters"
    assert plan["stages"][3]["power"] == 1.0
    assert all(node["folder"].endswith(node["fingerprint"][:8]) for node in plan["nodes"])


def test_the_resolved_recipe_can_be_run_itself(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path, export=[{"kind": "webdataset"}]))
    again = run_recipe(recipes.load(tmp_path / "run" / "recipe.yaml"), Reporter())
    assert again.nothing_to_do
    elsewhere = recipes.load(tmp_path / "run" / "recipe.yaml", output=tmp_path / "other")
    run_recipe(elsewhere, Reporter())
    assert whole_table(tmp_path / "other").equals(whole_table(tmp_path / "run"))


class Listening(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, line: str) -> None:
        self.told.append(line)


def test_a_changed_recipe_says_what_it_keeps(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    for power, wanted in ((1.0, []), (1.0, []), (2.0, ["image_folder+load+resolution"])):
        recipe["stages"][3]["power"] = power
        listening = Listening()
        run_recipe(recipes.load(write_recipe(tmp_path / "r.yaml", recipe)), listening)
        assert listening.told == [
            f"the recipe changed: keeping {kept}; doing text_length+letters anew" for kept in wanted
        ]


def test_a_kill_before_the_first_plan_is_no_foreign_folder(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    (tmp_path / "run").mkdir()
    for name in (".recipe.yaml.0a1b2c3d.tmp", ".plan.json.0a1b2c3d.tmp", "recipe.yaml"):
        (tmp_path / "run" / name).write_bytes(b"half")
    lease = tmp_path / "run" / LEASE_FOLDER / "00000001.json"
    lease.parent.mkdir()
    lease.write_text('{"host": "elsewhere", "pid": 1}')
    os.utime(lease, (1, 1))
    assert run(tmp_path, folder_recipe(tmp_path)).passes.kept == 6
    assert not list((tmp_path / "run").glob(".*.tmp"))


def test_another_threshold_rewrites_no_pass_and_keeps_the_old_selection(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    passes = {k: v for k, v in stamps(tmp_path / "run").items() if k.startswith("passes")}
    strict = folder_recipe(tmp_path)
    strict["select"]["threshold"] = 0.9
    result = run(tmp_path, strict)
    assert (result.passes.worked, result.selected_now, result.nothing_to_do) == (0, True, False)
    assert result.selection is not None
    assert result.selection.selected == 1
    after = stamps(tmp_path / "run")
    assert {k: v for k, v in after.items() if k.startswith("passes")} == passes
    assert curate.open_run(tmp_path / "run").selections == ["default", "default-1"]


def test_another_scorer_reads_no_picture_again(tmp_path: Path) -> None:
    pictures = picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    recipe = folder_recipe(tmp_path)
    recipe["stages"].append({"kind": "letters", "as": "other", "power": 2.0})
    for path in pictures.glob("*.jpg"):  # the files keep their names and sizes, not their content
        path.write_bytes(bytes(path.stat().st_size))
    result = run(tmp_path, recipe)
    assert result.passes.worked == 3  # one leg, three partitions
    table = whole_table(tmp_path / "run")
    assert table["image"].null_count == 0
    one, other = table["letters_itm"].to_pylist(), table["other_itm"].to_pylist()
    assert other[0] == pytest.approx([score**2 for score in one[0]])


def test_going_back_to_an_earlier_recipe_does_nothing_again(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    before = whole_table(tmp_path / "run")
    recipe = folder_recipe(tmp_path)
    recipe["stages"][3]["power"] = 3.0
    assert run(tmp_path, recipe).passes.worked == 3
    back = run(tmp_path, folder_recipe(tmp_path))
    assert back.passes.worked == 0
    assert whole_table(tmp_path / "run").equals(before)


def test_pictures_added_later_become_new_partitions(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    before = whole_table(tmp_path / "run")
    for number in (7, 8):
        (tmp_path / "pictures" / f"{number:03d}.jpg").write_bytes(jpeg(number))
    result = run(tmp_path, folder_recipe(tmp_path))
    assert result.passes.rows == len(TEXTS) + 2
    assert result.passes.worked == 2
    assert whole_table(tmp_path / "run").slice(0, before.num_rows).equals(before)


def test_a_barrier_and_a_fetch_from_a_site_on_loopback(tmp_path: Path) -> None:
    with serve() as site:
        bodies = {"/a.jpg": jpeg(1), "/again.jpg": jpeg(1), "/b.jpg": jpeg(2)}
        for path, body in bodies.items():
            site.pages[path] = response(body, Content_Type="image/jpeg")
        lines = [
            *("/a.jpg,two birds in the snow", "/gone.jpg,a red dog", "/b.jpg,a small house"),
            *("/a.jpg,two birds in the snow", "/again.jpg,other words here"),
        ]
        listing = tmp_path / "list.csv"
        listing.write_text("url,text\n" + "".join(f"http://pictures.test{x}\n" for x in lines))
        fetch = {"kind": "fetch", "resolve": site.resolve, "retries": 0, "timeout_s": 5}
        recipe = folder_recipe(
            tmp_path,
            source={"kind": "url_list", "path": str(listing), "partition_rows": 2},
            stages=[{"kind": "exact"}, fetch, {"kind": "perceptual"}, {"kind": "letters"}],
        )
        result = run(tmp_path, recipe)
        asked = dict(site.asked)
        assert run(tmp_path, recipe).nothing_to_do
        assert dict(site.asked) == asked
    assert result.passes.dropped == {
        "exact": {"duplicate_row": 1},
        "fetch": {"http_404": 1},
        "perceptual": {"duplicate_image": 1},
    }
    assert asked["/a.jpg"] == 1  # its repetition was dropped before anything was fetched
    # the survivor is the earliest in the list
    kept = whole_table(tmp_path / "run").select(["partition", "row"]).to_pydict()
    assert kept == {"partition": [0, 1], "row": [0, 0]}


def test_a_run_in_use_is_left_alone(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    with owned(tmp_path / "run"), pytest.raises(RunLocked, match="wait for it or stop it first"):
        run(tmp_path, folder_recipe(tmp_path))
    assert not (tmp_path / "run" / "plan.json").exists()


def test_what_a_killed_run_left_half_written_is_swept(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    left = tmp_path / "run" / "passes" / ".part-00000009.parquet.0a1b2c3d.tmp"
    left.write_bytes(b"half")
    run(tmp_path, folder_recipe(tmp_path))
    assert left.exists()  # nobody was killed, so nothing is searched
    lease = tmp_path / "run" / LEASE_FOLDER / "00000009.json"
    lease.write_text('{"host": "elsewhere", "pid": 1}')
    long_ago = lease.stat().st_mtime - 1000
    os.utime(lease, (long_ago, long_ago))
    run(tmp_path, folder_recipe(tmp_path))
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "other"}, r"holds the run 'small', made from another name"),
        ({"source": {"kind": "image_folder", "texts": None}}, "made from another source"),
    ],
)
def test_the_folder_of_another_run_is_left_alone(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    pictures = picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    before = stamps(tmp_path / "run")
    recipe = folder_recipe(tmp_path, **change)
    recipe["source"]["path"] = str(pictures)
    recipe["stages"] = recipe["stages"][:2]
    del recipe["select"]
    with pytest.raises(OtherRun, match=said):
        run(tmp_path, recipe)
    assert stamps(tmp_path / "run") == before


def test_a_moved_list_goes_on_with_the_same_run(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    run(tmp_path, folder_recipe(tmp_path))
    (tmp_path / "pictures").rename(tmp_path / "moved")
    recipe = folder_recipe(tmp_path)
    recipe["source"]["path"] = recipe["stages"][0]["root"] = str(tmp_path / "moved")
    assert run(tmp_path, recipe).nothing_to_do


def test_an_unreadable_partition_is_set_aside_and_taken_up_again(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"][3]["power"] = -1000.0  # 26 letters of 26: fine; fewer: beyond any number
    first = run(tmp_path, recipe)
    assert set(first.passes.quarantined) == {0, 1}
    assert "OverflowError" in first.passes.quarantined[0][1]
    again = run(tmp_path, recipe)
    assert again.passes.worked == 0
    assert set(again.passes.quarantined) == {0, 1}
    retried = run(tmp_path, recipe, retry=["quarantined"])
    assert set(retried.passes.quarantined) == {0, 1}
    aside = list((tmp_path / "run").rglob("quarantine/**/*.json"))
    assert json.loads(aside[0].read_text())["attempts"] == 3
