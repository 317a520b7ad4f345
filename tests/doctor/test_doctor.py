"""``curate doctor``: what it says of this machine, of what is missing, and of a recipe."""

from __future__ import annotations

import json
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.core.machine import cores
from curate.doctor import packages
from curate.doctor.findings import Finding
from curate.doctor.machine import memory
from curate.doctor.packages import EXTRAS, check_packages, missing_of, required
from curate.doctor.reach import check_network
from tests.docs.pages import ROOT
from tests.recipes import curate, folder_recipe, installed_plugin, picture_folder, write_recipe


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


@pytest.fixture(autouse=True)
def _nobodys_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def examined(*arguments: str | Path, ready: bool = True) -> dict[str, dict[str, Any]]:
    """Return the findings by name, after a look at the exit code."""
    result = curate("doctor", *arguments, "--json")
    assert result.exit_code == (0 if ready else 1), result.output
    facts = json.loads(result.stdout)
    assert facts["ready"] is ready
    return {finding["name"]: finding for finding in facts["findings"]}


def test_this_machine_can_run_curate() -> None:
    found = examined()
    for name in ("python", "ranges", "torch", "cores", "memory", "output", "cluster", "java"):
        assert name in found
    assert found["python"]["state"] == found["ranges"]["state"] == "ok"
    assert found["cores"]["says"].startswith(f"{cores()} of ")
    assert {"curate[s3]", "curate[vllm]"} <= set(found)
    assert not any(finding["area"] in ("network", "recipe") for finding in found.values())


def test_people_get_lines_by_area() -> None:
    result = curate("doctor")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line for line in lines if line and line[0] != " "][:3] == [
        *("packages", "devices", "machine"),
    ]
    assert lines[-1].startswith("ready; ")


def test_every_package_has_a_tested_version_and_every_extra_a_purpose() -> None:
    tested = packages.tested_versions()
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"torch=={tested['torch']}" in text.splitlines()
    plain = {one.name.lower().replace("_", "-") for one in required()}
    assert plain - set(tested) == set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def test_a_package_out_of_its_range_or_gone_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"torch": "1.0", "ray": None}
    real = packages.installed
    monkeypatch.setattr(packages, "installed", lambda name: there.get(name, real(name)))
    found = {finding.name: finding for finding in check_packages()}
    assert found["torch"].fatal and found["torch"].says.startswith("1.0 is outside its range")
    assert found["torch"].mend == f"pip install 'torch=={packages.tested_versions()['torch']}'"
    assert found["ray"].fatal and found["ray"].says.startswith("is not installed")
    assert missing_of("s3") == []
    there["s3fs"] = None
    assert missing_of("s3") == ["s3fs>=2025.5"]


def test_memory_is_what_is_free_of_what_there_is() -> None:
    found = memory()
    assert found is not None
    total, free = found
    assert 0 < free <= total


def test_a_recipe_that_can_run(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"].insert(1, {"kind": "scorers/med", "model": "curate-tiny", "num_cpus": 250})
    found = examined(write_recipe(tmp_path / "r.yaml", recipe))
    model = [f for name, f in found.items() if name.startswith("stages[1]")]
    assert found["small"]["state"] == "ok"
    assert model[-1]["state"] == "warning" and "take turns" in model[-1]["says"]
    assert not (tmp_path / "run").exists()


def test_an_object_store_is_asked(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    output = "memory://doctor/run"
    found = examined(write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, output=output)))
    assert found["output"]["says"] == f"{output} answers"
    assert "disk" not in found


def test_the_quickstart_leaves_nothing_behind(tmp_path: Path) -> None:
    output = f"output={tmp_path / 'run'}"
    found = examined(ROOT / "pipelines" / "quickstart.yaml", "--set", output)
    assert found["quickstart"]["says"].startswith("3 pass(es), 4 leg(s)")
    assert found["stages[6] med"]["says"] == "curate-tiny: a local checkpoint"
    assert list(tmp_path.iterdir()) == []


def test_what_a_recipe_wants_and_does_not_get(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path, select=None)
    recipe["stages"] = [
        {"kind": "load", "root": str(tmp_path / "pictures")},
        {"kind": "scorers/blip", "model": "nobody/nothing", "device": "cuda"},
    ]
    path = write_recipe(tmp_path / "r.yaml", recipe)
    result = curate("doctor", path, "--json")
    assert result.exit_code == 1
    said = [f for f in json.loads(result.stdout)["findings"] if f["state"] == "missing"]
    wanted = [f for f in said if f["required"] and f["name"] == "stages[1] blip"]
    assert "was never downloaded here" in wanted[0]["says"]
    assert "hf download nobody/nothing" in wanted[0]["mend"]
    lines = curate("doctor", path).output.splitlines()
    assert lines[-1].startswith("not ready: stages[1] blip")


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, source=None, colour="red"))
    found = examined(path, ready=False)
    assert "'source' is missing" in found["source"]["says"]
    assert "colour" in found["colour"]["says"]


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        engine = {"kind": "ray", "address": address}
        path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path, engine=engine))
        found = examined(path, ready=False)
    assert found["cluster"]["state"] == "missing" and address in found["cluster"]["says"]


def test_a_host_on_the_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=answer)
        thread.start()
        found = list(check_network(f"localhost:{server.getsockname()[1]}"))
        thread.join()
    assert [finding.state for finding in found] == ["ok", "ok"]
    gone = list(check_network("no-such-host.invalid"))
    assert [(finding.state, finding.required) for finding in gone] == [("missing", True)]
    assert "no address" in gone[0].says


@pytest.mark.parametrize(
    "host", ["https://example.com", "localhost:https", "localhost:99999", "", "a/b", ":80"]
)
def test_what_is_no_host(host: str) -> None:
    (found,) = check_network(host)
    assert (found.state, found.required) == ("missing", True)
    assert "NAME:PORT" in found.mend


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.invalid"])
def test_a_name_that_no_host_can_have(host: str) -> None:
    (found,) = check_network(host)
    assert "no address" in found.says


def test_an_override_without_a_recipe() -> None:
    result = curate("doctor", "--set", "engine.kind=ray")
    assert result.exit_code == 2
    assert "give the recipe" in result.output


def test_only_what_is_required_is_fatal() -> None:
    assert Finding("a", "b", "missing", "c", required=True).fatal
    assert not Finding("a", "b", "missing", "c").fatal
    assert not Finding("a", "b", "warning", "c", required=True).fatal
