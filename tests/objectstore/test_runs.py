"""Runs whose folder is on S3: the same commands, the same tables, on both engines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import yaml

import curate as package
from curate.core.location import store_path
from tests.chaos.material import Web, write_material
from tests.images.pictures import jpeg
from tests.objectstore.contents import checksums, contents, differences
from tests.objectstore.server import BUCKET, S3Server
from tests.recipes import curate, folder_recipe, list_recipe, picture_folder, write_recipe
from tests.stages.download.site import response, serve


class Chain(NamedTuple):
    """A recipe through everything a run has, run on a disk and on S3."""

    recipe: Path
    disk: Path
    place: str
    found: dict[str, Any]
    requests: int


@pytest.fixture(scope="module")
def chain(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    tmp = tmp_path_factory.mktemp("chain")
    place = f"s3://{BUCKET}/chain/run"
    with Web(tmp / "web") as web:
        web.down = False
        recipe = write_material(tmp, web.address)
        assert curate("run", recipe).exit_code == 0
        before = len(s3.requests)
        assert curate("run", recipe, "--output", place).exit_code == 0
        yield Chain(recipe, tmp / "run", place, contents(tmp / "run"), len(s3.requests) - before)


def test_a_run_on_s3_is_the_run_on_a_disk(chain: Chain) -> None:
    found = contents(chain.place)
    assert differences(found, chain.found) == []
    assert found["lance"].num_rows == found["rows"].num_rows > 10
    assert found["export webdataset-default"]
    assert found["ledger"].num_rows > 5
    assert found["canaries"].num_rows > 0


def test_nothing_is_left_to_do_and_nothing_of_it_is_written_again(
    chain: Chain, s3: S3Server
) -> None:
    before = len(s3.requests)
    again = curate("run", chain.recipe, "--output", chain.place, "--json")
    assert json.loads(again.stdout)["nothing_to_do"]
    written = {
        path.partition("?")[0].removeprefix(f"/{BUCKET}/chain/run/")
        for method, path, _ in s3.requests[before:]
        if method in ("PUT", "POST")
    }
    written = {name for name in written if not name.startswith("lease/")}
    assert written == {"recipe.yaml", "plan.json", "result.json", "progress.json"}


def test_status_and_plan_read_it(chain: Chain) -> None:
    here, there = (
        json.loads(curate("status", place, "--json").stdout) for place in (chain.disk, chain.place)
    )
    assert there["run"] == chain.place
    for facts in (here, there):
        for step in facts["steps"]:
            for time_of_its_own in ("seconds", "device_seconds", "notes"):
                step.pop(time_of_its_own)
        assert facts.pop("last_owner")["pid"] == facts.pop("progress")["pid"]
        assert facts["state"] == "finished"
    assert {**there, "run": ""} == {**here, "run": ""}
    plan = json.loads(curate("plan", chain.recipe, "--output", chain.place, "--json").stdout)
    assert all(leg["partitions_done"] == 7 for one in plan["passes"] for leg in one["legs"])


def test_another_selection_and_its_export(chain: Chain) -> None:
    for place in (chain.disk, chain.place):
        chosen = curate(
            *("select", place, "--kind", "top_fraction", "--set", "column=filter_itc"),
            *("--set", "fraction=0.3", "--name", "best30"),
        )
        assert chosen.exit_code == 0
        for kind in ("webdataset", "mds", "blip_json", "parquet"):
            assert curate("export", place, "--kind", kind, "--selection", "best30").exit_code == 0
    here, there = (
        {
            name: checksums(store_path(place) / "shards" / name)
            for name in ("webdataset-best30", "mds-best30", "blip_json-best30", "parquet-best30")
        }
        for place in (str(chain.disk), chain.place)
    )
    assert there == here
    assert all(here.values())
    # the same again does nothing, another in its place replaces it
    again = curate(
        "export", chain.place, "--selection", "best30", "--set", "shard_rows=2", "--json"
    )
    files = {shard["file"] for shard in json.loads(again.stdout)["shards"]}
    folder = store_path(chain.place) / "shards" / "webdataset-best30"
    assert {name for name in checksums(folder) if name.endswith(".tar")} == files
    assert len(files) > 1


def test_a_lance_export_can_be_read(chain: Chain) -> None:
    import lance

    from curate.core.lance_storage import lance_address

    assert curate("export", chain.place, "--kind", "lance").exit_code == 0
    folder = store_path(chain.place) / "shards" / "lance-default"
    (name,) = {path.partition("/")[0] for path in checksums(folder) if ".lance/" in path}
    address, options = lance_address(folder / name)
    table = lance.dataset(address, storage_options=options).to_table()
    assert (
        table.num_rows == package.open_run(chain.place).texts(selection="default")["selected"].sum()
    )


def test_a_stream_reads_it(chain: Chain) -> None:
    here, there = (
        sorted(sample["key"] for sample in package.stream(place, shuffle=False))
        for place in (chain.disk, chain.place)
    )
    assert there == here
    assert here


def test_a_report_reads_it_and_is_written_beside_it(chain: Chain, tmp_path: Path) -> None:
    result = curate("report", chain.place)
    assert result.exit_code == 0, result.output
    assert f"written to {chain.place}/report.html" in result.output
    page = (store_path(chain.place) / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") > 3
    on_disk = tmp_path / "report.html"
    assert curate("report", chain.disk, "--output", on_disk).exit_code == 0
    assert on_disk.stat().st_size == pytest.approx(len(page.encode()), rel=0.02)


def test_a_changed_recipe_redoes_its_own_legs_alone(chain: Chain, s3: S3Server) -> None:
    recipe = yaml.safe_load(chain.recipe.read_text())
    recipe["stages"][-1]["canaries"] = 0.5
    path = write_recipe(chain.recipe.with_name("changed.yaml"), recipe)
    before = len(s3.requests)
    assert curate("run", path, "--output", chain.place).exit_code == 0
    written = [p for method, p, _ in s3.requests[before:] if method == "PUT" and "/parts/" in p]
    assert len(written) == 7
    assert {p.split("/passes/")[1].split("-")[0] for p in written} == {"2/leg"}
    assert curate("run", chain.recipe, "--output", chain.place).exit_code == 0
    names = chain.found["rows"].column_names
    assert package.open_run(chain.place).rows(names, arrow=True).equals(chain.found["rows"])


@pytest.mark.slow
def test_the_ray_engine_commits_there_too(chain: Chain, s3: S3Server) -> None:
    place = f"s3://{BUCKET}/ray/run"
    ended = curate("run", chain.recipe, "--output", place, "--engine", "ray")
    assert ended.exit_code == 0
    assert differences(contents(place), {**chain.found}) == []


def test_rows_are_tried_again(tmp_path: Path, place: str) -> None:
    bad = response(b"later", status="503 Service Unavailable")
    with serve() as site:
        site.pages = {
            f"/{number}.jpg": response(jpeg(number, width=80, height=80)) for number in range(10)
        }
        site.pages |= {f"/{number}.jpg": bad for number in (0, 3, 6, 9)}
        urls = [site.url(f"/{number}.jpg") for number in range(12)]
        listed = tmp_path / "list.csv"
        listed.write_text("url,text\n" + "".join(f"{url},a text\n" for url in urls))
        fetch = {"kind": "fetch", "retries": 0, "robots_txt": False, "resolve": site.resolve}
        stages = [fetch, {"kind": "perceptual"}]
        recipe = list_recipe(tmp_path, listed, stages=stages, output=place)
        path = write_recipe(tmp_path / "r.yaml", recipe)
        first = json.loads(curate("run", path, "--json").stdout)
        assert first["dropped"]["fetch"] == {"http_5xx": 4, "http_404": 2}
        site.pages |= {
            f"/{number}.jpg": response(jpeg(number, width=80, height=80)) for number in (0, 3, 6)
        }
        again = json.loads(curate("run", path, "--retry", "http_5xx", "--json").stdout)
    assert again["dropped"]["fetch"] == {"http_5xx": 1, "http_404": 2}
    assert again["kept"] == first["kept"] + 3
    table = package.open_run(place).rows(arrow=True)
    assert sorted(table["url"].to_pylist()) == sorted(urls[:9])


def test_new_files_of_a_list_are_new_partitions(tmp_path: Path, place: str) -> None:
    picture_folder(tmp_path / "pictures")
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, output=place))
    assert curate("run", path).exit_code == 0
    (tmp_path / "pictures" / "900.jpg").write_bytes(jpeg(900, width=90, height=90))
    (tmp_path / "pictures" / "900.txt").write_text("one more picture of a dog")
    said = json.loads(curate("run", path, "--json").stdout)
    assert (said["rows"], said["partitions"]) == (8, 4)
    run = package.open_run(place)
    assert "one more picture of a dog" in run.texts()["text"].tolist()
    assert isinstance(run.rows(arrow=True), pa.Table)


def test_another_runs_folder_is_left_alone(tmp_path: Path, place: str) -> None:
    (store_path(place) / "mine.txt").write_text("x")
    picture_folder(tmp_path / "pictures")
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, output=place))
    refused = curate("run", path)
    assert refused.exit_code == 2
    assert "is not empty and holds no run (it has 'mine.txt')" in refused.stderr


@pytest.mark.slow
def test_a_score_is_added_and_rows_are_forgotten(tmp_path: Path, place: str) -> None:
    picture_folder(tmp_path / "pictures", [f"picture no. {number} of all" for number in range(8)])
    changes = {"sinks": [{"kind": "lance"}], "export": [{"kind": "parquet"}]}
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, **changes))
    second = ("--kind", "letters", "--set", "as=second")
    for where in (str(tmp_path / "run"), place):
        assert curate("run", path, "--output", where).exit_code == 0
        assert curate("add-score", where, *second).exit_code == 0
        said = curate("forget", where, "--url", "005.jpg", "--why", "asked to", "--json")
        assert said.exit_code == 0, said.output
        (report,) = json.loads(said.stdout)["forgotten"]
        assert (report["rows"], report["proof"]["left"]) == (1, {})
        assert report["proof"]["files_searched"] > 20
    found = contents(place)
    assert "005.jpg" not in found["rows"]["path"].to_pylist()
    assert found["lance"]["second_itm"].null_count == 0
    assert differences(found, contents(tmp_path / "run")) == []
    assert json.loads(curate("run", path, "--output", place, "--json").stdout)["nothing_to_do"]
