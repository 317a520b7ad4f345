"""The shipped set-up as data: the dashboard's panels and queries, and the alerts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "monitoring"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "curate.json"
ALERTS = FOLDER / "alerts.yml"

_METRIC = re.compile(r"\bray_curate_\w+")
_LABELS = re.compile(r"\bby \(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^{}]*)\}")


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    """Return its panels."""
    found: list[dict[str, Any]] = dashboard()["panels"]
    return found


def queries() -> list[tuple[str, str]]:
    """Return title and expression of every query of the dashboard."""
    return [(panel["title"], one["expr"]) for panel in panels() for one in panel["targets"]]


def alerts() -> list[tuple[str, str]]:
    """Return name and expression of every alert."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def series_of(expression: str) -> set[str]:
    """Return the series that an expression reads."""
    return set(_METRIC.findall(expression))


def labels_of(expression: str) -> set[str]:
    """Return the labels that an expression groups by or selects by."""
    grouped = {name.strip() for some in _LABELS.findall(expression) for name in some.split(",")}
    chosen = {
        re.split(r"[=!~]", matcher, maxsplit=1)[0].strip()
        for some in _MATCHERS.findall(expression)
        for matcher in some.split(",")
    }
    return grouped | chosen
