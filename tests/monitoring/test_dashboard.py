"""The dashboard and the alerts speak of metrics and labels that there are."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess

import pytest
import yaml

from curate.core.meters import METERS
from tests.monitoring.expressions import (
    DASHBOARD,
    FOLDER,
    alerts,
    dashboard,
    labels_of,
    panels,
    queries,
    series_of,
)

SERIES = {series: meter for meter in METERS for series in meter.series}
EVERY = queries() + alerts()
#: Labels that Ray or Prometheus puts on, besides ours.
FOREIGN = {"SessionName", "le"}


@pytest.mark.parametrize(("title", "expression"), EVERY, ids=lambda value: str(value)[:40])
def test_metrics_and_labels_exist(title: str, expression: str) -> None:
    read = series_of(expression)
    assert read
    assert read <= SERIES.keys()
    known = {"run"} | FOREIGN | {label for name in read for label in SERIES[name].labels}
    assert labels_of(expression) <= known


def test_a_metric_or_label_that_is_not_there_would_be_noticed() -> None:
    expression = 'sum by (leg, colour) (rate(ray_curate_cows_total{host="a"}[1m]))'
    assert series_of(expression) == {"ray_curate_cows_total"}
    assert labels_of(expression) == {"leg", "colour", "host"}


def test_every_metric_is_shown() -> None:
    shown = {name for _, expression in queries() for name in series_of(expression)}
    for meter in METERS:
        assert shown & set(meter.series), meter.name


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in panels():
        for one in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", one["legendFormat"]))
            assert wanted <= labels_of(one["expr"]), panel["title"]


def test_variables_are_declared_and_those_that_ray_sets_are_among_them() -> None:
    declared = {variable["name"] for variable in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text(encoding="utf-8")))
    assert used - {"__rate_interval", "__all"} <= declared
    assert {"datasource", "SessionName"} <= declared


def test_grafana_may_be_embedded_and_finds_what_is_shipped() -> None:
    settings = configparser.ConfigParser()
    settings.read(FOLDER / "grafana" / "grafana.ini")
    assert settings.getboolean("security", "allow_embedding")
    assert settings.getboolean("auth.anonymous", "enabled")
    assert settings.get("server", "http_addr") == "127.0.0.1"
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text("utf-8"))[
        "datasources"
    ]
    assert (source["name"], source["type"]) == ("Prometheus", "prometheus")
    (provider,) = yaml.safe_load((provisioning / "dashboards/curate.yml").read_text("utf-8"))[
        "providers"
    ]
    path = provider["options"]["path"].replace("${GF_PATHS_PROVISIONING}", str(provisioning))
    assert (provisioning / path).resolve() == DASHBOARD.parent


def test_ray_asks_for_the_data_source_by_this_name() -> None:
    from ray.dashboard.modules.metrics import metrics_head

    assert metrics_head.DEFAULT_PROMETHEUS_NAME == "Prometheus"
    assert metrics_head.DEFAULT_PROMETHEUS_HOST == "http://localhost:9090"
    assert metrics_head.DEFAULT_GRAFANA_HOST == "http://localhost:3000"


def test_promtool_accepts_the_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    said = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "1 rule files found" in said.stdout
