"""A run's figures as Ray's own metrics, which each node's agent offers to Prometheus."""

from __future__ import annotations

from typing import Any

from ray.util import metrics

from curate.core.meters import METERS, Meter


class RayMeters:
    """Gives figures to Ray, with the run's name on each; some thirty of them a commit.

    Ray passes them on every ten seconds (``RAY_metrics_report_interval_ms``) and when a process
    ends in order; one that is killed takes what it had not passed on with it. So these are for
    watching, and the run's folder is for counting.
    """

    def __init__(self, run: str) -> None:
        """Make the metrics.

        Args:
            run: name of the run's folder.
        """
        self._run = run
        self._made = {meter.name: _make(meter) for meter in METERS}

    def add(self, meter: Meter, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or enter a value; see ``core.meters.Meters``."""
        made, tags = self._made[meter.name], {"run": self._run, **labels}
        if meter.kind == "gauge":
            made.set(value, tags=tags)
        elif meter.kind == "histogram":
            made.observe(value, tags=tags)
        elif value > 0:
            made.inc(value, tags=tags)


def _make(meter: Meter) -> Any:
    labels = ("run", *meter.labels)
    if meter.kind == "counter":
        return metrics.Counter(meter.name, description=meter.description, tag_keys=labels)
    if meter.kind == "gauge":
        return metrics.Gauge(meter.name, description=meter.description, tag_keys=labels)
    return metrics.Histogram(
        meter.name, description=meter.description, boundaries=list(meter.buckets), tag_keys=labels
    )
