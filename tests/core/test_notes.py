from __future__ import annotations

from curate.core.notes import merge_notes
from curate.core.store import Receipt
from curate.core.totals import Totals


def test_counters_are_summed_and_of_the_least_the_least_is_kept() -> None:
    totals = Totals()
    for halvings, least in ((0, 32), (2, 8), (1, 16)):
        notes = {"blip.halvings": float(halvings), "blip.least_batch": float(least)}
        totals.add(Receipt(0, 0, 0, {}, seconds={"blip": 1.5}, notes=notes))
    assert totals.notes == {"blip.halvings": 3, "blip.least_batch": 8}
    assert totals.seconds == {"blip": 4.5}


def test_a_name_is_taken_by_its_last_part() -> None:
    notes = {"least_of.bytes": 1.0, "least_x": 5.0}
    merge_notes(notes, {"least_of.bytes": 2.0, "least_x": 7.0})
    assert notes == {"least_of.bytes": 3.0, "least_x": 5.0}
