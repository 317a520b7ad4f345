"""A look at a Ray cluster: who is there, and with what. Starts none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def known_address(address: str | None) -> str | None:
    """Return the cluster that a run would join, or None where it would start one.

    Args:
        address: the recipe's, if any.
    """
    if address or os.environ.get("RAY_ADDRESS"):
        return address or os.environ["RAY_ADDRESS"]
    # written by 'ray start', removed by 'ray stop'
    note = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    try:
        return note.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def cluster_facts(address: str) -> dict[str, Any]:
    """Join a cluster for a moment.

    Returns:
        ``nodes`` that live and ``dead`` ones, ``resources`` and what of them is ``free``.

    Raises:
        EngineError: it cannot be reached.
    """
    import ray

    from curate.engine.ray_actors import connect

    connect(address)
    try:
        nodes = ray.nodes()
        return {
            "nodes": sum(bool(node["Alive"]) for node in nodes),
            "dead": sum(not node["Alive"] for node in nodes),
            "resources": dict(ray.cluster_resources()),
            "free": dict(ray.available_resources()),
            "version": ray.__version__,
        }
    finally:
        ray.shutdown()
