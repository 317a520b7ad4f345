"""All checks, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from curate.doctor.devices import Devices, check_devices
from curate.doctor.findings import Finding
from curate.doctor.machine import check_machine, check_programs
from curate.doctor.packages import check_extras, check_packages
from curate.doctor.reach import check_network, check_ray
from curate.doctor.recipe import check_recipe, read_recipe
from curate.engine.pools import Cluster


def examine(recipe: Path | None, sets: Sequence[str], *, network: str | None) -> Iterator[Finding]:
    """Look at everything, and at what a recipe wants.

    Args:
        recipe: a recipe, or None.
        sets: overrides of its settings.
        network: a host to reach, or None for no look at the network.

    Yields:
        Findings, as soon as each is known.
    """
    loaded, problems = (None, []) if recipe is None else read_recipe(recipe, sets)
    yield from check_packages()
    devices: list[Devices] = []
    yield from check_devices(devices)
    output = Path("runs") if loaded is None else loaded.output
    yield from check_machine(output if isinstance(output, Path) else None)
    on_ray = loaded is not None and loaded.engine.kind == "ray"
    clusters: list[Cluster] = []
    address = loaded.engine.address if loaded is not None else None
    yield from check_ray(address, needed=on_ray, found=clusters)
    yield from check_extras()
    yield from check_programs()
    if network is not None:
        yield from check_network(network)
    yield from problems
    if recipe is not None and loaded is not None:
        cluster = clusters[0] if on_ray and clusters else None
        yield from check_recipe(recipe, sets, loaded, devices[0], cluster)
