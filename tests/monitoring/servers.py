"""Prometheus on the shipped configuration, and a Grafana that is only a health page."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.clusters import free_port
from tests.monitoring.expressions import ALERTS, FOLDER

DISCOVERY = "/tmp/ray/prom_metrics_service_discovery.json"


def fetch_json(address: str) -> Any:
    """Return what a server answers."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


def until(what: Callable[[], Any], *, seconds: float, said: str) -> Any:
    """Call again and again until there is something; the last exception tells what went wrong."""
    deadline = time.monotonic() + seconds
    while True:
        error: Exception | None = None
        try:
            if found := what():
                return found
        except (OSError, AssertionError) as caught:
            error = caught
        assert time.monotonic() < deadline, f"{said} within {seconds} s: {error}"
        time.sleep(0.3)


class Prometheus:
    """A Prometheus of our own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        query = urllib.parse.urlencode({"query": expression})
        found = fetch_json(f"{self.address}/api/v1/query?{query}")
        assert found["status"] == "success", found
        series: list[dict[str, Any]] = found["data"]["result"]
        return series

    def values(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of an expression by some of its labels, those that are numbers."""
        found = {
            tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1])
            for one in self.ask(expression)
        }
        return {key: value for key, value in found.items() if math.isfinite(value)}


@contextlib.contextmanager
def prometheus(folder: Path, discovery: Path, port: int) -> Iterator[Prometheus]:
    """Start Prometheus on the shipped files; the interval and the place of Ray's file differ.

    Skips the test where Prometheus is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [DISCOVERY]
    job["file_sd_configs"][0] = {"files": [str(discovery)], "refresh_interval": "1s"}
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copy(ALERTS, folder)
    process = subprocess.Popen(
        [
            *(program, f"--config.file={folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(lambda: server.ask("vector(1)"), seconds=60, said="no Prometheus")
        yield server
    finally:
        process.kill()
        process.wait()


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"database": "ok"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def grafana_health() -> Iterator[str]:
    """Answer as Grafana's ``/api/health`` does; yields the address."""
    port = free_port()
    server = ThreadingHTTPServer(("127.0.0.1", port), _Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()
