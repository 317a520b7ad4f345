"""What the page is told: plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from curate.calibrate import plain
from curate.core.columns import SYNTHETIC
from curate.inspection.calibration import Calibration
from curate.inspection.index.effects import Effect, Scores
from curate.inspection.index.filters import OPERATORS
from curate.inspection.index.pairs import Pairs
from curate.inspection.index.query import MARK, SELECTION, Answer
from curate.inspection.report_cuts import decided_on

#: Columns of a pair that its card shows, beside the scores.
_CARD = ("partition", "row", "uid", "text", "source", "reason")
#: The greatest whole number that a browser tells from its neighbours.
_SAFE = 2**53


def state(pairs: Pairs) -> dict[str, Any]:
    """Return what the page has to know of a run before it asks anything."""
    columns = []
    for name in pairs.names:
        few = pairs.coded(name) if pairs.kind(name) == "text" else None
        columns.append(
            {
                "name": name,
                "kind": pairs.kind(name),
                "operators": OPERATORS[pairs.kind(name)],
                "values": None if few is None else few.labels,
            }
        )
    return {
        "name": str(pairs.table.facts.get("name", "")),
        "run": str(pairs.table.store.root),
        "pairs": len(pairs.index),
        "images": len(pairs.index.image_starts),
        "columns": columns,
        "scores": pairs.index.score_names,
        "selections": [_selection(pairs, name) for name in pairs.selections],
        "embeddings": pairs.index.vectors.name is not None,
        "left_out": pairs.index.left_out,
    }


def _selection(pairs: Pairs, name: str) -> dict[str, Any]:
    decided = decided_on(pairs.selections[name].facts)
    least = [cut.value for cut in decided.cuts if cut.bound == "least" and cut.source != SYNTHETIC]
    column = decided.column if decided.column in pairs.index.score_names else None
    return {"name": name, "column": column, "threshold": least[0] if column and least else None}


def page(pairs: Pairs, answer: Answer, start: int, count: int) -> dict[str, Any]:
    """Return some of an answer's pairs as cards."""
    places = answer.places[start : start + count]
    scores = pairs.index.score_names
    found = pairs.index.take(places, [*_CARD, *scores]).to_pylist()
    closeness = [None] * len(places)
    if answer.closeness is not None:
        closeness = answer.closeness[start : start + count].tolist()
    labels = {
        name: _labels(pairs, name, places)
        for name in (MARK, *(SELECTION + name for name in pairs.selections))
    }
    cards = [
        {
            "place": int(place),
            **{name: one[name] for name in _CARD},
            "scores": {name: number(one[name]) for name in scores},
            "closeness": number(closeness[at]),
            "mark": labels[MARK][at],
            "selections": {name: labels[SELECTION + name][at] for name in pairs.selections},
        }
        for at, (place, one) in enumerate(zip(places, found, strict=True))
    ]
    return {"total": len(answer.places), "start": start, "pairs": cards}


def details(pairs: Pairs, place: int) -> dict[str, Any]:
    """Return everything that is known of a pair, and the other texts of its image."""
    names = list(pairs.index.columns)
    (one,) = pairs.index.take([place], names).to_pylist()
    own, _ = pairs.index.of_images(pairs.index.images[place : place + 1])
    return {
        "place": place,
        "columns": {name: number(value) for name, value in one.items()},
        "texts": page(pairs, Answer(own), 0, len(own))["pairs"],
    }


def _labels(pairs: Pairs, name: str, places: Any) -> list[str | None]:
    column = pairs.coded(name)
    assert column is not None
    return [column.labels[code] if code >= 0 else None for code in column.codes[places]]


def effects(found: Effect) -> dict[str, Any]:
    """Return what a threshold does."""
    return asdict(found)


def scores(found: Scores) -> dict[str, Any]:
    """Return a histogram."""
    counts = {name: count.tolist() for name, count in found.counts.items()}
    return {"edges": found.edges.tolist(), "counts": counts}


def calibration(found: Calibration | None, marks: Mapping[str, int]) -> dict[str, Any]:
    """Return what the marks say of a score; only their number before there are enough."""
    said = {} if found is None else {name: plain(value) for name, value in asdict(found).items()}
    return {"marks": dict(marks), "found": said or None}


def number(value: Any) -> Any:
    """Return a value as JSON has it: no NaN, and no whole number that a browser would round."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return number(value.item())
    return str(value) if isinstance(value, int) and abs(value) > _SAFE else value


def marks(pairs: Pairs) -> dict[str, int]:
    """Return how many pairs are marked, by label."""
    column = pairs.coded(MARK)
    assert column is not None
    return {label: int((column.codes == code).sum()) for code, label in enumerate(column.labels)}
