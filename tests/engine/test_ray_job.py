"""A cluster started on this machine: ``ray job submit``, the dashboard and the metrics endpoint."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import curate
from tests.models.checkpoints import tiny_med

REPO = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).parent / "ray")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the dashboard of a fresh cluster and an environment without other clusters."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    environment["RAY_AUTH_MODE"] = "disabled"  # a token in the home folder would turn it on
    port, dashboard = free_port(), free_port()
    # a short path: Ray's sockets live below it
    folder = tmp_path_factory.mktemp("r")
    subprocess.run(
        [
            *(RAY, "start", "--head", f"--port={port}", f"--dashboard-port={dashboard}"),
            *("--num-cpus=2", "--disable-usage-stats", f"--temp-dir={folder}"),
        ],
        check=True,
        capture_output=True,
        env=environment,
        timeout=120,
    )
    try:
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        subprocess.run([RAY, "stop", "--force"], capture_output=True, check=True, timeout=120)


def scrape(dashboard: str) -> str:
    """Fetch every metrics endpoint that the cluster tells Prometheus about."""
    with urllib.request.urlopen(f"{dashboard}/api/prometheus/sd", timeout=10) as answer:
        found = json.load(answer)
    pages = []
    for target in [target for group in found for target in group["targets"]]:
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            pages.append(answer.read().decode())
    return "\n".join(pages)


def test_job_submit(cluster: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    dashboard, environment = cluster
    model, output = tiny_med(tmp_path / "med"), tmp_path / "run"
    sets = [
        *(f"stages[6].model={model}", f"stages[7].model={model}"),
        *("source.partition_rows=50", "pretrain=null", "evaluate=null"),
    ]
    submitted = subprocess.Popen(
        [
            *(RAY, "job", "submit", "--address", dashboard, "--"),
            *(sys.executable, "-m", "curate.cli", "run", str(REPO / "pipelines/quickstart.yaml")),
            *("--engine", "ray", "--output", str(output)),
            *(part for text in sets for part in ("--set", text)),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    metrics = ""
    deadline = time.monotonic() + 200
    while submitted.poll() is None and time.monotonic() < deadline:
        page = scrape(dashboard)
        metrics = page if "curate_commits" in page else metrics
        time.sleep(0.5)
    said = submitted.communicate(timeout=60)[0]
    assert submitted.returncode == 0, said
    assert "succeeded" in said
    assert "208 in the table" in said
    assert curate.open_run(output).table.partitions == tuple(range(7))
    for name in ("curate_commits", "curate_rows", "curate_stage_seconds", "curate_in_flight"):
        assert f"ray_{name}" in metrics
    assert 'stage="fetch"' in metrics
