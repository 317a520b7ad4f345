"""What one round of the bootstrap loop did to the texts: noise found, words lost, agreement.

A filter that learns from its own selections may come to accept whatever the captioner writes
(confirmation bias). It shows in the canaries, which it must reject whatever it has learnt, and in
the noise it still finds. Sources: the noise ratios of BLIP's tables 2 and 4 (arXiv 2201.12086);
distinct-n of Li et al. 2016 (arXiv 1510.03055), section 5.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from curate.core.columns import SYNTHETIC
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.inspection.score_samples import planted_scores

#: The alarm: fewer canaries rejected than this share, or a fall by so much since the first round.
_LEAST_RECALL, _GREATEST_FALL = 0.5, 0.1
#: The alarm: noise found in synthetic texts below this share of what the first round found.
_LEAST_NOISE = 0.25
#: Words are looked at in so many texts at most, of images drawn by their uid.
_TEXTS_READ = 200_000
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


@dataclass(frozen=True)
class RoundReport:
    """One round's figures; None where there was nothing to count.

    Attributes:
        noise: share of the judged texts that were rejected, by source.
        kept: selected texts by source.
        agreement: share of the captioner's texts that the filter accepts.
        entity_words: names and numbers in the web texts of images that kept a text.
        entity_words_lost: share of them that no kept text of the image has.
        distinct_2: different pairs of neighbouring words, of all such pairs, in the kept texts.
        canaries: planted mismatches scored.
        canary_recall: share of them that the threshold rejects.
    """

    noise: Mapping[str, float]
    kept: Mapping[str, int]
    agreement: float | None
    entity_words: int
    entity_words_lost: float | None
    distinct_2: float | None
    canaries: int
    canary_recall: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def report_round(
    table: CommittedTable, selection: Selection, *, score: str, threshold: float
) -> RoundReport:
    """Count what a round did.

    Args:
        table: the round's table.
        selection: what it kept.
        score: the score column it was decided on.
        threshold: texts were kept from this score on.
    """
    facts = selection.facts
    judged = {
        source: facts["selected"].get(source, 0) + sum(facts["rejected"].get(source, {}).values())
        for source in {*facts["selected"], *facts["rejected"]}
    }
    noise = {
        source: 1 - facts["selected"].get(source, 0) / count
        for source, count in sorted(judged.items())
        if count
    }
    words = _Words()
    share = min(1.0, _TEXTS_READ / max(1, facts["texts"]))
    for number in table.partitions:
        texts, decisions = table.texts(number), selection.decisions(number)
        if share < 1:
            drawn = pa.array(
                [crc32(uid.encode()) < share * 2**32 for uid in texts["uid"].to_pylist()]
            )
            texts, decisions = texts.filter(drawn), decisions.filter(drawn)
        words.add(texts, decisions)
    below = planted_scores(table, score) < threshold
    return RoundReport(
        noise=noise,
        kept=dict(facts["selected"]),
        agreement=1 - noise[SYNTHETIC] if SYNTHETIC in noise else None,
        entity_words=words.entities,
        entity_words_lost=words.lost / words.entities if words.entities else None,
        distinct_2=len(words.pairs) / words.pairs.total() if words.pairs else None,
        canaries=len(below),
        canary_recall=float(np.mean(below)) if len(below) else None,
    )


def alarms(rounds: Sequence[RoundReport]) -> list[str]:
    """Return what is wrong with the last of some rounds, as lines for people; empty: nothing."""
    if not rounds:
        return []
    first, last = rounds[0], rounds[-1]
    said = []
    if last.canary_recall is not None:
        if last.canary_recall < _LEAST_RECALL:
            said.append(
                f"the filter rejects {last.canary_recall:.0%} of the planted mismatches: it has "
                "ceased to judge; stop here and keep an earlier round"
            )
        elif first.canary_recall is not None and (
            first.canary_recall - last.canary_recall > _GREATEST_FALL
        ):
            said.append(
                f"the filter rejects {last.canary_recall:.0%} of the planted mismatches, "
                f"{first.canary_recall:.0%} in the first round: it begins to agree with everything"
            )
    before, now = first.noise.get(SYNTHETIC), last.noise.get(SYNTHETIC)
    if before and now is not None and now < _LEAST_NOISE * before:
        said.append(
            f"it finds {now:.1%} noise in the captions, {before:.1%} in the first round: captioner "
            "and filter agree; fine-tune them on clean pairs alone, or from different seeds"
        )
    return said


@dataclass
class _Words:
    """Words of the kept texts, and of the web texts whose images were kept."""

    entities: int = 0
    lost: int = 0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, texts: pa.Table, decisions: pa.Table) -> None:
        """Add one partition."""
        kept_words: dict[int, set[str]] = {}
        web_entities: dict[int, list[str]] = {}
        for row, text, source, rejected in zip(
            *(texts[name].to_pylist() for name in ("row", "text", "source")),
            decisions["rejected"].to_pylist(),
            strict=True,
        ):
            words = _WORD.findall(text or "")
            if source != SYNTHETIC:
                web_entities.setdefault(row, []).extend(_entities(words))
            if rejected is None:
                lower = [word.casefold() for word in words]
                kept_words.setdefault(row, set()).update(lower)
                self.pairs.update(itertools.pairwise(lower))
        for row, words_kept in kept_words.items():
            found = web_entities.get(row, [])
            self.entities += len(found)
            self.lost += sum(word.casefold() not in words_kept for word in found)


def _entities(words: Iterable[str]) -> Iterator[str]:
    """Yield what only the web knows: numbers, and capitalised words but for a text's first.

    A text in which every word is capitalised says nothing by its capitals.
    """
    listed = list(words)
    shouted = all(not word[0].islower() for word in listed)
    for place, word in enumerate(listed):
        has_digit = any(character.isdigit() for character in word)
        if has_digit or (place and word[0].isupper() and not shouted):
            yield word
