"""A Ray cluster and a host on the network, as far as they can be reached from here."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from curate.core.errors import EngineError
from curate.doctor.findings import Finding
from curate.engine.pools import Cluster
from curate.engine.ray_look import cluster_facts, known_address

_TIMEOUT_S = 10.0


def check_ray(address: str | None, *, needed: bool, found: list[Cluster]) -> Iterator[Finding]:
    """Look at the cluster that a run would join.

    Args:
        address: the recipe's; None takes the environment's or one that runs here.
        needed: whether the recipe's engine is Ray.
        found: gets the cluster's size where there is one.
    """
    if importlib.util.find_spec("ray") is None:
        return  # said among the packages
    known = known_address(address)
    if known is None:
        says = "none runs; '--engine ray' starts one on this machine"
        yield Finding("ray", "cluster", "ok", says)
        return
    try:
        facts = cluster_facts(known)
    except EngineError as error:
        mend = "start it ('ray start --head'), or unset RAY_ADDRESS and 'engine.address'"
        yield Finding("ray", "cluster", "missing", str(error), mend, required=needed)
        return
    resources = facts["resources"]
    cluster = Cluster(resources.get("CPU", 0.0), resources.get("GPU", 0.0))
    found.append(cluster)
    says = (
        f"{known}: {facts['nodes']} node(s), {cluster.cpus:g} CPUs, {cluster.gpus:g} GPUs, "
        f"object store {resources.get('object_store_memory', 0) / 1e9:.1f} GB; "
        f"{facts['free'].get('CPU', 0):g} CPUs and {facts['free'].get('GPU', 0):g} GPUs free"
    )
    gone = facts["dead"]
    yield Finding(
        "ray",
        "cluster",
        "warning" if gone else "ok",
        says + (f"; {gone} node(s) have died" if gone else ""),
        "look at 'ray status' and the dashboard for why" if gone else "",
        required=needed,
    )


def check_network(host: str) -> Iterator[Finding]:
    """Look a host up and connect to it.

    Args:
        host: a name, or ``name:port``; port 443 by default.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, number = parts.hostname, parts.port or 443
    except ValueError:
        name, number = None, 0
    if name is None or parts.netloc != host:
        mend = "give a NAME or NAME:PORT, without scheme and path"
        yield Finding("network", host, "missing", "is no host", mend, required=True)
        return
    begun = time.perf_counter()
    try:
        addresses = socket.getaddrinfo(name, number, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the second: not even a name
        mend = "check the name, /etc/resolv.conf, and whether this machine has a network"
        yield Finding("network", name, "missing", f"no address: {error}", mend, required=True)
        return
    found = f"{addresses[0][4][0]} in {(time.perf_counter() - begun) * 1000:.0f} ms"
    yield Finding("network", "name server", "ok", f"{name} is {found}", required=True)
    begun = time.perf_counter()
    try:
        socket.create_connection((name, number), timeout=_TIMEOUT_S).close()
    except OSError as error:
        mend = "a firewall, or a proxy that must be gone through (curate fetches without one)"
        said = f"no connection to port {number}: {error}"
        yield Finding("network", name, "missing", said, mend, required=True)
        return
    taken = (time.perf_counter() - begun) * 1000
    yield Finding("network", name, "ok", f"port {number} answers in {taken:.0f} ms", required=True)
