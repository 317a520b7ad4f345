from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]


def ray_schema() -> dict[str, Any]:
    spec = importlib.util.find_spec("ray")  # finds the package without importing Ray
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "autoscaler" / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text("utf-8"))
    return loaded


def pinned(name: str) -> str:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.split("==")[1] for line in lines if line.startswith(f"{name}=="))


def test_fits_rays_own_schema(cluster: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(ray_schema()).validate(cluster)


def test_the_schema_would_notice(cluster: dict[str, Any]) -> None:
    broken = {**cluster, "setup_command": ["true"]}
    with pytest.raises(jsonschema.ValidationError, match="setup_command"):
        jsonschema.Draft7Validator(ray_schema()).validate(broken)


def test_image_holds_the_pinned_ray_and_our_python(cluster: dict[str, Any]) -> None:
    repository, _, tag = cluster["docker"]["image"].partition(":")
    version, python, device = tag.split("-")
    assert repository == "rayproject/ray"
    assert version == pinned("ray")
    assert python == "py311"
    assert device == "gpu"


def test_head_without_and_workers_with_a_gpu(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    head = types[cluster["head_node_type"]]
    workers = [kind for name, kind in types.items() if name != cluster["head_node_type"]]
    assert head["resources"]["GPU"] == 0
    assert workers
    for worker in workers:
        assert worker["resources"]["GPU"] >= 1
        assert 1 <= worker["min_workers"] == worker["max_workers"]
    assert cluster["max_workers"] == sum(worker["max_workers"] for worker in workers)


def test_installs_what_the_comment_builds(cluster: dict[str, Any]) -> None:
    comment = (ROOT / "ray_cluster.yaml").read_text(encoding="utf-8")
    assert "pip wheel --no-deps --wheel-dir dist . && cp constraints.txt dist/" in comment
    assert cluster["file_mounts"]["/home/ray/curate"] == "./dist"
    first, again = cluster["setup_commands"]
    assert shlex.split(first)[-3:] == [
        *("-c", "/home/ray/curate/constraints.txt", "/home/ray/curate/*.whl")
    ]
    assert "--force-reinstall" in shlex.split(again, comments=True)


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_itself_knows_the_start_commands(cluster: dict[str, Any], role: str) -> None:
    from ray.scripts.scripts import cli

    stop, start = cluster[f"{role}_start_ray_commands"]
    assert stop == "ray stop"
    program, name, *options = shlex.split(start)
    assert (program, name) == ("ray", "start")
    command = cli.commands["start"]
    context = command.make_context("start", list(options))
    assert context.params["head"] is (role == "head")
    assert context.params["metrics_export_port"] == 8080
    if role == "head":
        assert context.params["autoscaling_config"] == "~/ray_bootstrap_config.yaml"
        assert context.params["dashboard_host"] == "127.0.0.1"
    else:
        assert context.params["address"] == "$RAY_HEAD_IP:6379"


def test_the_image_is_told_where_the_shared_folder_is(cluster: dict[str, Any]) -> None:
    options = cluster["docker"]["run_options"]
    assert "-v /shared:/shared" in options
    assert any("mount -t nfs4" in command for command in cluster["initialization_commands"])


def test_what_monitoring_needs_is_on_every_node(cluster: dict[str, Any]) -> None:
    mounted = cluster["file_mounts"]["/home/ray/monitoring"]
    assert (ROOT / mounted / "prometheus.yml").is_file()
    page = json.loads((ROOT / mounted / "grafana/dashboards/curate.json").read_text("utf-8"))
    options = cluster["docker"]["run_options"]
    assert f"-e RAY_GRAFANA_DATA_DASHBOARD_UID={page['uid']}" in options
