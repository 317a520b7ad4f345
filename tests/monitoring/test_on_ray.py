"""Metrics of real runs on a real cluster, scraped over HTTP and asked for through Prometheus."""

from __future__ import annotations

import contextlib
import re
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from curate.core.fakes import FakeFilterConfig, FakeMapConfig, FakeSourceConfig, fake_plan
from curate.core.ledger import count_reasons
from curate.core.meters import METERS
from curate.core.stage import Mapped, MapStage
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.base import EngineConfig
from curate.engine.ray_actors import RayEngine
from curate.passes import PassesResult, PassRunner, Watcher
from curate.status.run import run_status
from tests.docs.small_run import make_small_run
from tests.engine.clusters import OwnCluster, TracedConfig, free_port, own_cluster
from tests.monitoring.browser import evaluated
from tests.monitoring.expressions import dashboard, queries
from tests.monitoring.servers import (
    Prometheus,
    fetch_json,
    grafana_health,
    prometheus,
    until,
)

pytestmark = pytest.mark.slow

_SAMPLE = re.compile(r"^(ray_curate_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class HalvingConfig(TracedConfig):
    """A stage whose device's memory does not hold the first batch of any partition."""

    def build(self) -> Halving:
        return Halving(self)


class Halving(MapStage):
    """See ``HalvingConfig``."""

    def __init__(self, config: HalvingConfig) -> None:
        self._inner = TracedConfig.build(config)

    def __call__(self, rows: pa.Table) -> Mapped:
        mapped = self._inner(rows)
        return replace(mapped, notes={"halvings": 1.0, "batches_le_4": 2.0, "device_seconds": 0.1})


@dataclass
class Monitored:
    """A cluster that is looked at."""

    cluster: OwnCluster
    page: str
    dashboard: str
    prometheus: Prometheus
    grafana: str

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return every sample of ours on the node's metrics page."""
        with urllib.request.urlopen(self.page, timeout=10) as answer:
            text = answer.read().decode()
        return {
            (name, frozenset(_LABEL.findall(labels))): float(value)
            for name, labels, value in _SAMPLE.findall(text)
        }

    def total(self, name: str, **wanted: str) -> float:
        """Return a metric's sum over the processes."""
        return sum(
            value
            for (found, labels), value in self.scrape().items()
            if found == name and wanted.items() <= dict(labels).items()
        )


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    """Start a cluster as docs/monitor.md says, on ports of its own and with shorter intervals."""
    metrics, dashboard, port = free_port(), free_port(), free_port()
    folder = tmp_path_factory.mktemp("prometheus") / "prometheus"
    with contextlib.ExitStack() as stack:
        grafana = stack.enter_context(grafana_health())
        cluster = stack.enter_context(
            own_cluster(
                2,
                head=(
                    *("--include-dashboard=true", f"--dashboard-port={dashboard}"),
                    f"--metrics-export-port={metrics}",
                ),
                config={"metrics_report_interval_ms": 500},
                environment={
                    "RAY_PROMETHEUS_HOST": f"http://127.0.0.1:{port}",
                    "RAY_GRAFANA_HOST": grafana,
                    "RAY_GRAFANA_DATA_DASHBOARD_UID": "curate",
                },
            )
        )
        discovery = cluster.folder / "prom_metrics_service_discovery.json"
        until(discovery.exists, seconds=90, said="no file for Prometheus")
        server = stack.enter_context(prometheus(folder, discovery, port))
        page, seen = f"http://127.0.0.1:{metrics}/metrics", f"http://127.0.0.1:{dashboard}"
        yield Monitored(cluster, page, seen, server, grafana)


@pytest.fixture(scope="module")
def faulty(
    monitored: Monitored, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PassesResult, list[float]]:
    """Run a plan in which everything happens that is counted; returns the commits as scraped."""
    root = tmp_path_factory.mktemp("runs") / "faulty"
    plan = fake_plan(
        FakeSourceConfig(files=(25, 0, 12), partition_rows=5, bad_every=7),
        FakeMapConfig(num_cpus=1, fail_on="file-0 12", sleep_s=0.1),
        FakeFilterConfig(),
        HalvingConfig(folder=root.parent, sleep_s=1.0),
    )
    store = RunStore(root)
    store.write_plan(plan.nodes, plan.schema, {"name": "faulty"})
    engine = RayEngine(EngineConfig(kind="ray"))
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            with contextlib.suppress(OSError):
                seen.append(monitored.total("ray_curate_commits_total", run="faulty"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        result = PassRunner(plan, store, lambda: engine, Watcher()).run()
        until(
            lambda: monitored.total("ray_curate_commits_total", run="faulty") == result.worked,
            seconds=30,
            said="not every commit was told of",
        )
    finally:
        over.set()
        looking.join()
        engine.close()
    return root, result, seen


def test_counters_rise_while_the_run_goes_on(
    faulty: tuple[Path, PassesResult, list[float]],
) -> None:
    _, result, seen = faulty
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert max(seen) <= result.worked


def test_counters_agree_with_the_ledger(
    monitored: Monitored, faulty: tuple[Path, PassesResult, list[float]]
) -> None:
    root, result, _ = faulty
    assert set(result.quarantined) == {2}
    in_ledger = pa.concat_tables(RunStore(root).ledger(CommittedTable.open(root).nodes))
    counted: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for stage, reasons in count_reasons(in_ledger).items():
        for reason, rows in reasons.items():
            name = "ray_curate_rows_dropped_total"
            counted[stage][reason] = int(
                monitored.total(name, run="faulty", stage=stage, reason=reason)
            )
            assert counted[stage][reason] == rows
    assert counted == result.dropped
    for node, totals in result.totals:
        leg = {"run": "faulty", "leg": "+".join(node.stages)}
        assert monitored.total("ray_curate_rows_total", **leg) == totals.rows_in
        assert monitored.total("ray_curate_pairs_total", **leg) == totals.texts
        assert monitored.total("ray_curate_commits_total", **leg) == totals.partitions
        assert monitored.total("ray_curate_bytes_written_total", **leg) == totals.bytes_written
        assert monitored.total("ray_curate_partition_seconds_count", **leg) == totals.partitions
    assert monitored.total("ray_curate_retries_total", run="faulty", cause="failed") == 2
    assert monitored.total("ray_curate_partitions_set_aside_total", run="faulty") == 1
    assert monitored.total("ray_curate_batch_size_count", run="faulty") == 2 * 7
    assert monitored.total("ray_curate_batch_halvings_total", run="faulty") == 7


def test_every_metric_is_told_with_its_own_labels_and_rays(
    monitored: Monitored, faulty: tuple[Path, PassesResult, list[float]]
) -> None:
    found = {name: dict(labels).keys() for name, labels in monitored.scrape()}
    for meter in METERS:
        for series in meter.series:
            assert found[series] >= {"run", "SessionName", *meter.labels}, series
    assert found.keys() == {series for meter in METERS for series in meter.series}


@pytest.fixture(scope="module")
def small(
    monitored: Monitored,
    faulty: tuple[Path, PassesResult, list[float]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Run real pictures through a real model on the cluster."""
    folder = tmp_path_factory.mktemp("small")
    make_small_run(folder, folder / "small", engine={"kind": "ray"})
    return folder / "small"


def test_a_models_time_and_batches_are_counted(monitored: Monitored, small: Path) -> None:
    run = {"run": "small"}
    until(
        lambda: monitored.total("ray_curate_commits_total", **run) >= 6,
        seconds=30,
        said="not every commit was told of",
    )
    steps = run_status(small)["steps"]
    for step in [one for one in steps if one["device_seconds"]]:
        leg = {**run, "leg": step["step"]}
        busy = monitored.total("ray_curate_device_busy_seconds_total", **leg)
        assert busy == pytest.approx(step["device_seconds"], rel=1e-6)
        assert busy <= monitored.total("ray_curate_stage_seconds_total", **leg)
        assert monitored.total("ray_curate_batch_size_count", **leg) == step["partitions"]
    assert sum(bool(one["device_seconds"]) for one in steps) == 2


@pytest.mark.parametrize(("title", "expression"), queries(), ids=lambda text: str(text)[:40])
def test_every_query_of_the_dashboard_gives_series(
    monitored: Monitored, small: Path, title: str, expression: str
) -> None:
    query = expression.replace("$__rate_interval", "5m")
    query = query.replace("$SessionName", ".*").replace("$run", "faulty|small")
    found = until(
        lambda: monitored.prometheus.values(query, "leg", "stage"),
        seconds=30,
        said=f"no numbers for {title}: {query}",
    )
    assert all(value >= 0 for value in found.values())


def test_prometheus_knows_the_alerts_and_one_fires(
    monitored: Monitored, faulty: tuple[Path, PassesResult, list[float]]
) -> None:
    def firing() -> set[str]:
        found = fetch_json(f"{monitored.prometheus.address}/api/v1/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    until(lambda: "CuratePartitionSetAside" in firing(), seconds=30, said="no alert")
    assert firing() == {"CuratePartitionSetAside"}


def test_rays_dashboard_finds_both_and_embeds_ours(monitored: Monitored) -> None:
    def health(name: str) -> dict[str, object]:
        said = fetch_json(f"{monitored.dashboard}/api/{name}_health")
        assert said["result"] is True, said
        found: dict[str, object] = said["data"]
        return found

    until(lambda: health("prometheus") is not None, seconds=60, said="Ray does not see Prometheus")
    said = until(lambda: health("grafana"), seconds=60, said="Ray does not see Grafana")
    assert said["grafanaHost"] == monitored.grafana
    assert said["dashboardDatasource"] == "Prometheus"
    uids = said["dashboardUids"]
    assert isinstance(uids, dict)
    assert uids["data"] == "curate"


def test_rays_page_shows_our_dashboard_whole(monitored: Monitored, tmp_path: Path) -> None:
    until(
        lambda: fetch_json(f"{monitored.dashboard}/api/prometheus_health")["result"],
        seconds=60,
        said="Ray does not see Prometheus",
    )
    tab = "[...document.querySelectorAll('[role=tab]')].find(one => one.textContent == 'Ray Data')"
    frame = "document.querySelector('iframe[title=\"Ray Data Dashboard\"]')"
    shown = evaluated(
        f"{monitored.dashboard}/#/metrics",
        [f"{tab} && ({tab}.click(), true)", f"{frame} && {frame}.src"],
        tmp_path,
    )
    assert shown.startswith(f"{monitored.grafana}/d/curate/?")
    given = dict(part.split("=", 1) for part in shown.partition("?")[2].split("&"))
    variables = {one["name"] for one in dashboard()["templating"]["list"]}
    assert {name.removeprefix("var-") for name in given if name.startswith("var-")} <= variables
