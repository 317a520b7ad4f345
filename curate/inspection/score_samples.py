"""Scores of a run to calibrate on: of its texts, of its canaries, and of pairs that were labelled.

Labels are JSON lines, ``{"uid": "...", "text": "...", "good": true}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.core.errors import SourceError, StoreError, nearest
from curate.core.location import StorePath
from curate.core.table import CommittedTable

Floats = NDArray[np.float64]
#: A labelled pair: uid and text.
Pair = tuple[str, str]

#: Nobody could tell an estimate from more texts than these from one of all of them.
MOST_TEXTS = 2_000_000


@dataclass(frozen=True, slots=True)
class TextScores:
    """Scores of texts of one source.

    Attributes:
        scores: of the texts that have one.
        partitions: how many were read,
        of: and of how many: beyond ``MOST_TEXTS`` every n-th partition stands for the others.
    """

    scores: Floats
    partitions: int
    of: int


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """Scores of labelled pairs.

    Attributes:
        right: of pairs that belong together.
        wrong: of pairs that do not.
        missing: labelled pairs that the run does not hold.
        unscored: labelled pairs that the run holds without a score.
    """

    right: Floats
    wrong: Floats
    missing: int
    unscored: int


def score_column(table: CommittedTable, wanted: str | None) -> str:
    """Return the score column that is meant.

    Args:
        table: a run's.
        wanted: a column, a scorer's name, or None for the only ITM or the only score there is.

    Raises:
        StoreError: there is no such score, or more than one could be meant.
    """
    names = table.score_names
    if wanted in names:
        return str(wanted)
    itm = [name for name in names if name.endswith("_itm")]
    if wanted is None:
        meant = itm if len(itm) == 1 else list(names)
    else:
        meant = [name for name in (f"{wanted}_itm", f"{wanted}_itc") if name in names][:1]
    if len(meant) == 1:
        return meant[0]
    if wanted is not None:
        raise StoreError(
            f"no score {wanted!r} in {table.store.root}: "
            + nearest(wanted, [*names, *(name.rpartition("_")[0] for name in names)])
        )
    said = f"one of {', '.join(names)}: say which by --scorer" if names else "no score at all"
    raise StoreError(f"{table.store.root} has {said}")


def text_scores(
    table: CommittedTable, column: str, source: str, *, most: int = MOST_TEXTS
) -> TextScores:
    """Read the scores of the texts of a source.

    Args:
        table: a run's.
        column: a score column.
        source: ``web`` or ``synthetic``.
        most: read no more texts than about so many.
    """
    stride = max(1, -(-table.count_texts() // most))
    numbers = table.partitions[::stride]
    parts = []
    for number in numbers:
        rows = table.rows(number, ["text_sources", column])
        scores = pc.list_flatten(rows[column])
        mine = pc.equal(pc.list_flatten(rows["text_sources"]), source)
        parts.append(_known(scores.filter(mine)))
    return TextScores(np.concatenate([np.zeros(0), *parts]), len(numbers), len(table.partitions))


def canary_scores(table: CommittedTable, column: str) -> Floats:
    """Read the scores of the planted mismatches.

    Raises:
        StoreError: there are none.
    """
    scores = planted_scores(table, column)
    if not len(scores):
        raise StoreError(
            f"{table.store.root} has no canaries of {column}: run again with 'canaries: 0.05' at "
            "its scorer, or give --labels"
        )
    return scores


def planted_scores(table: CommittedTable, column: str) -> Floats:
    """Read the scores of the planted mismatches; empty where there are none."""
    parts = [_known(part[column]) for _, part in table.canaries() if column in part.column_names]
    return np.concatenate([np.zeros(0), *parts])


def read_labels(path: Path) -> dict[Pair, bool]:
    """Read labelled pairs: whether uid and text belong together.

    Raises:
        SourceError: the file cannot be read, a line is no label, or a pair is labelled both ways.
    """
    return dict(_labels(path))


def labelled_scores(
    table: CommittedTable, column: str, labels: Mapping[Pair, bool], where: StorePath
) -> LabelledScores:
    """Read the scores of labelled pairs; a pair is found by uid and text.

    Args:
        table: a run's.
        column: a score column.
        labels: whether uid and text belong together.
        where: where the labels are from, for messages.

    Raises:
        StoreError: the run holds no labelled pair with a score, or only right or only wrong ones.
    """
    uids = pa.array(sorted({uid for uid, _ in labels}), pa.string())
    found: dict[tuple[str, str], float | None] = {}
    for number in table.partitions:
        if not pc.any(pc.is_in(table.rows(number, ["uid"])["uid"], value_set=uids)).as_py():
            continue
        texts = table.texts(number)
        texts = texts.filter(pc.is_in(texts["uid"], value_set=uids))
        for uid, text, score in zip(
            *(texts[name].to_pylist() for name in ("uid", "text", column)), strict=True
        ):
            if (uid, text) in labels:
                found[uid, text] = score
    scores = {pair: score for pair, score in found.items() if score is not None}
    right, wrong = (
        np.array([score for pair, score in scores.items() if labels[pair] is good], np.float64)
        for good in (True, False)
    )
    if not len(right) or not len(wrong):
        raise StoreError(
            f"of the {len(labels)} pairs in {where} the run holds {len(found)}, {len(right)} right "
            f"and {len(wrong)} wrong with a score of {column}: both kinds are needed, and uid and "
            "text as the run has them (curate.open_run(...).texts())"
        )
    return LabelledScores(right, wrong, len(labels) - len(found), len(found) - len(scores))


def _labels(path: Path) -> Iterator[tuple[tuple[str, str], bool]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a text may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read labels from {path}: {error}") from error
    seen: dict[tuple[str, str], bool] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        uid, text, good = _label(line, f"{path}, line {number}")
        if seen.setdefault((uid, text), good) is not good:
            raise SourceError(f"{path}, line {number}: {text!r} of {uid} is labelled both ways")
        yield (uid, text), good


def _label(line: str, where: str) -> tuple[str, str, bool]:
    try:
        value = json.loads(line)
        uid, text, good = value["uid"], value["text"], value["good"]
        if isinstance(uid, str) and isinstance(text, str) and isinstance(good, bool):
            return uid, text, good
    except (ValueError, KeyError, TypeError):
        pass
    raise SourceError(
        f'{where}: not a label: write {{"uid": "...", "text": "...", "good": true}}, or false'
    )


def _known(scores: pa.ChunkedArray) -> Floats:
    values: Floats = scores.drop_null().to_numpy().astype(np.float64)
    return values[np.isfinite(values)]
