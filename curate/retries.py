"""What ``curate run --retry`` asks for: partitions that were set aside, and rows by their reason.

A request for rows is written down before work on it begins. The same request after a kill goes on
where it stopped; after it is done, it begins anew with the rows that still have those reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curate.core.atomic import read_json, read_json_if_there, remove, write_json
from curate.core.errand import Errand
from curate.core.errors import StoreError, nearest
from curate.core.plan import Plan
from curate.core.store import RunStore
from curate.core.tombstones import REASON as FORGOTTEN

#: Takes partitions up again; everything else names a reason of the ledger.
QUARANTINED = "quarantined"


def release_quarantined(store: RunStore, plan: Plan) -> int:
    """Forget which partitions were set aside, so that they are taken up again; returns how many."""
    count = 0
    for leg in plan.legs:
        for number in store.quarantined(leg.node):
            remove(store.quarantine_file(leg.node, number))
            count += 1
    return count


def open_request(store: RunStore, reasons: Sequence[str]) -> Errand:
    """Write down a request, or find the one like it that was not finished."""
    path = store.retry_file
    before = read_json_if_there(path)
    wanted = sorted(set(reasons))
    number = int(before["number"]) if before else 0
    if before is None or before["done"] or before["reasons"] != wanted:
        number += 1
        write_json(path, {"number": number, "reasons": wanted, "done": False})
    return Errand(f"retry-{number}", frozenset(wanted))


def close_request(store: RunStore) -> None:
    """Note that the request is done."""
    write_json(store.retry_file, {**read_json(store.retry_file), "done": True})


def check_reasons(
    reasons: Sequence[str], plan: Plan, dropped: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Check that a request can be met.

    Args:
        reasons: ``REASON`` or ``STAGE:REASON``.
        plan: the run's plan.
        dropped: rows of the ledger by stage and reason.

    Returns:
        The reasons that no row has, each with the nearest that some rows have, as lines for people.

    Raises:
        StoreError: a reason that only a barrier gives: its verdicts stand; or ``forgotten``.
    """
    barriers = {one.barrier.stage.name for one in plan.passes if one.barrier is not None}
    known = {
        name: stage
        for stage, by_reason in dropped.items()
        for reason in by_reason
        for name in (reason, f"{stage}:{reason}")
    }
    lines = []
    for reason in reasons:
        if reason.rpartition(":")[2] == FORGOTTEN:
            raise StoreError(f"--retry {reason}: a row that was forgotten is not taken up again")
        if known.get(reason) in barriers:
            raise StoreError(
                f"--retry {reason}: {known[reason]} compares whole sets, and its verdicts stand; "
                "change the stage in the recipe to have them made anew"
            )
        if reason not in known:
            offered = [name for name, stage in known.items() if stage not in barriers]
            lines.append(
                f"no row of the ledger has the reason {reason!r}: {nearest(reason, offered)}"
            )
    return lines
