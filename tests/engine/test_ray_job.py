"""A cluster started on this machine: ``ray job submit``, the dashboard and the metrics endpoint."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import curate
from tests.engine.clusters import RAY, free_port, own_cluster
from tests.models.checkpoints import tiny_med
from tests.monitoring.servers import fetch_json, until

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def dashboard() -> Iterator[str]:
    """Yield the dashboard of a fresh cluster."""
    port = free_port()
    with own_cluster(2, head=("--include-dashboard=true", f"--dashboard-port={port}")):
        address = f"http://127.0.0.1:{port}"
        until(lambda: fetch_json(f"{address}/api/version"), seconds=90, said="no dashboard")
        yield address


def scrape(dashboard: str) -> str:
    """Fetch every metrics endpoint that the cluster tells Prometheus about."""
    found = fetch_json(f"{dashboard}/api/prometheus/sd")
    pages = []
    for target in [target for group in found for target in group["targets"]]:
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            pages.append(answer.read().decode())
    return "\n".join(pages)


def test_job_submit(dashboard: str, tmp_path: Path) -> None:
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
