"""Ray clusters of several nodes on this machine, and a stage that tells where it ran."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import ray
from ray.exceptions import RayError

from curate.core import columns
from curate.core.config import MapConfig, tuning
from curate.core.resources import Resources
from curate.core.stage import Mapped, MapStage

RAY = str(Path(sys.executable).parent / "ray")
NODE_VARIABLE = "CURATE_TEST_NODE"
#: A dead node is noticed within two seconds instead of twenty; and no worker is killed because
#: others fill this machine's memory.
QUICK = {
    "memory_monitor_refresh_ms": 0,
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Node:
    """One node: ``ray start --block`` and what it started."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            # on a busy machine a raylet may take longer than Ray waits for it: then once more
            ["sh", "-c", 'until "$@"; do sleep 1; done', "sh", RAY, "start", "--block", *arguments],
            env={**os.environ, NODE_VARIABLE: name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Return the living processes of the node whose command line holds a word."""
        found = []
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if name in " ".join(process.cmdline()):
                        found.append(process)
        return found

    def kill(self) -> None:
        """Kill everything at once, as when the machine loses power."""
        everything = self.processes()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        for process in everything:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()


class OwnCluster:
    """A cluster that nobody else finds."""

    def __init__(
        self, head_cpus: int, folder: str, head: Sequence[str], config: Mapping[str, int]
    ) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.folder = Path(folder)
        self.nodes: list[Node] = []
        self._start(
            *("--head", f"--port={port}", f"--num-cpus={head_cpus}", f"--temp-dir={folder}"),
            *(*head, f"--system-config={json.dumps({**QUICK, **config})}"),
        )
        self._await_head(port)

    def add(self, cpus: int, gpus: int = 0) -> Node:
        """Start a node of so many CPUs, and GPUs in name; it joins seconds later."""
        sizes = (f"--num-cpus={cpus}", f"--num-gpus={gpus}")
        return self._start(f"--address={self.address}", *sizes)

    def _start(self, *arguments: str) -> Node:
        common = (f"--object-store-memory={80 * 2**20}", "--node-ip-address=127.0.0.1")
        node = Node(f"node{len(self.nodes)}", *arguments, *common, "--disable-usage-stats")
        self.nodes.append(node)
        return node

    @staticmethod
    def _await_head(port: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            assert time.monotonic() < deadline, "no head within a minute"
            time.sleep(0.1)

    @staticmethod
    def await_cpus(cpus: int) -> None:
        """Wait until the nodes that have joined, as a driver sees them, have so many CPUs."""
        deadline = time.monotonic() + 120
        while ray.cluster_resources().get("CPU", 0) != cpus:
            assert time.monotonic() < deadline, f"{ray.cluster_resources()} after two minutes"
            time.sleep(0.1)

    def kill(self) -> None:
        """End every node, the head last."""
        for node in reversed(self.nodes):
            node.kill()


@contextlib.contextmanager
def own_cluster(
    head_cpus: int,
    *,
    head: Sequence[str] = ("--include-dashboard=false",),
    config: Mapping[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[OwnCluster]:
    """Start a cluster and name it in ``RAY_ADDRESS``.

    Args:
        head_cpus: CPUs of the head.
        head: options of ``ray start`` for the head.
        config: Ray's own settings.
        environment: variables for its processes.
    """
    folder = tempfile.mkdtemp(prefix="r")  # short: the path of a socket has a hundred bytes
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            patch.delenv(name)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        cluster = OwnCluster(head_cpus, folder, head, config or {})
        patch.setenv("RAY_ADDRESS", cluster.address)
        try:
            yield cluster
        finally:
            with contextlib.suppress(RayError):
                ray.shutdown()
            cluster.kill()
            shutil.rmtree(folder, ignore_errors=True)


class TracedConfig(MapConfig):
    """Adds the length of the first text; leaves a file for every node it worked on.

    Attributes:
        writes_as: name of the column.
        folder: where the files are left.
        num_cpus: declared need.
        num_gpus: share of a GPU it takes where there are some.
        sleep_s: pretended work per partition, seconds.
        until_nodes: there is work to pretend only until it ran on so many nodes.
        deaths: processes that die while they start, before one lives.
    """

    writes_as: str = "length"
    folder: Path = tuning(Path())
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    sleep_s: float = tuning(0.0)
    until_nodes: int = tuning(1_000)
    deaths: int = tuning(0)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("texts",)

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        return (pa.field(self.writes_as, pa.int64()),)

    @property
    def resources(self) -> Resources:
        gpus = {"num_gpus": self.num_gpus, "gpu_optional": bool(self.num_gpus)}
        return Resources(num_cpus=self.num_cpus, key=self.writes_as, **gpus)

    @property
    def label(self) -> str:
        return self.writes_as

    def build(self) -> Traced:
        return Traced(self)


class Traced(MapStage):
    """See ``TracedConfig``."""

    def __init__(self, config: TracedConfig) -> None:
        self._config = config

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        died = len(list(self._config.folder.glob(f"died-{self._config.writes_as}-*")))
        if died < self._config.deaths:
            (self._config.folder / f"died-{self._config.writes_as}-{died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield

    def __call__(self, rows: pa.Table) -> Mapped:
        if len(nodes_used(self._config.folder, self._config.writes_as)) < self._config.until_nodes:
            time.sleep(self._config.sleep_s)
        if NODE_VARIABLE in os.environ:
            name = f"on-{self._config.writes_as}-{os.environ[NODE_VARIABLE]}"
            (self._config.folder / name).touch()
        lengths = [len(texts[0]) if texts else 0 for texts in rows["texts"].to_pylist()]
        values = {self._config.writes_as: pa.array(lengths, pa.int64())}
        return Mapped(columns.append_columns(rows, values, self._config.writes))


def nodes_used(folder: Path, column: str = "length") -> set[str]:
    """Return the names of the nodes on which a traced stage worked."""
    return {path.name.rpartition("-")[2] for path in folder.glob(f"on-{column}-*")}
