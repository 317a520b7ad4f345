"""What the stages of a leg find out on its first worker, written down for all that join later.

A batch size that every worker looked for itself would differ between them, and with it the shapes
that decide the last bits of a score. So the first to know it writes it into the leg's folder, as
``settled/STAGE.json``, and everybody keeps to that, also when the run goes on another day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from curate.core.atomic import damaged, read_json_if_there, write_new
from curate.core.location import StorePath
from curate.core.stage import MapStage


def settle(folder: StorePath, stages: Iterable[tuple[str, Any]]) -> None:
    """Let every map stage settle what it has to, by what is written down where it is.

    Args:
        folder: the leg's.
        stages: names and stages that were set up.

    Raises:
        StoreError: what is written down is damaged, or cannot be written.
    """
    for name, stage in stages:
        if not isinstance(stage, MapStage):
            continue
        path = folder / "settled" / f"{name}.json"
        known = _read(path)
        found = stage.settle(known)
        if known is None and found and not write_new(path, dict(found)):
            stage.settle(_read(path))


def _read(path: StorePath) -> Mapping[str, int] | None:
    value = read_json_if_there(path)
    if value is None:
        return None
    if not isinstance(value, dict) or not all(_positive(number) for number in value.values()):
        raise damaged(path, ValueError("not a table of positive numbers"))
    return value


def _positive(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0
