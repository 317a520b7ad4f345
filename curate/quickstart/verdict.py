"""How much of what was planted a run has caught, and where.

Pure functions over pandas frames: a run's flat texts, its ledger, and the truth of the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.core.columns import SYNTHETIC, WEB
from curate.evaluate.roc import roc_auc
from curate.quickstart.faults import FAULTS, MISMATCHED, NEAR_DUPLICATE, NONE, REPEATED_ROW

_DUPLICATE_ROW = "duplicate_row"
_GOOD = (NONE, REPEATED_ROW, NEAR_DUPLICATE)


@dataclass(frozen=True)
class Matching:
    """How well the scores and the selector tell mismatched texts from good ones.

    Counted over the web texts that reached the selector and are planted as good or mismatched;
    repeats are left out.

    Attributes:
        good: texts that fit.
        mismatched: texts of another picture.
        good_rejected: texts that fit and were rejected: false alarms.
        mismatched_rejected: mismatches that were rejected: found.
        auc: by score column, the probability that a good text scores above a mismatched one; NaN
            where one of the two is missing.
    """

    good: int
    mismatched: int
    good_rejected: int
    mismatched_rejected: int
    auc: Mapping[str, float]

    @property
    def precision(self) -> float:
        """Share of the rejected texts that were mismatched; NaN if none was rejected."""
        return _share(self.mismatched_rejected, self.mismatched_rejected + self.good_rejected)

    @property
    def recall(self) -> float:
        """Share of the mismatched texts that were rejected; NaN if there was none."""
        return _share(self.mismatched_rejected, self.mismatched)


@dataclass(frozen=True)
class Verdict:
    """What became of every planted row.

    Attributes:
        rows: a row per row of the list: ``row``, ``url``, ``fault``; ``stopped_by`` (``fetch:
            http_404``, ``text filter: too_few_words``, ``selector: below_threshold``; null where
            the web text was selected or there was none); ``kept`` (the web text was selected);
            ``rescued`` (it was not, and a synthetic caption of the image was); ``caught`` (boolean,
            null for rows without a fault to catch).
        faults: a row per kind of fault that was planted: ``fault``, ``planted``, ``caught``,
            ``rescued``, ``where`` (``stopped_by`` with counts, most frequent first), ``meaning``.
        good: good rows of the list.
        good_kept: good rows whose web text was selected.
        noise_before: share of wrong texts among the web texts of all rows with an image.
        noise_after: share of wrong texts among the selected web texts.
        matching: the mismatched texts alone.
    """

    rows: pd.DataFrame
    faults: pd.DataFrame
    good: int
    good_kept: int
    noise_before: float
    noise_after: float
    matching: Matching


def judge(
    texts: pd.DataFrame, ledger: pd.DataFrame, truth: pd.DataFrame, *, scores: Iterable[str]
) -> Verdict:
    """Compare a finished run with what was planted.

    Args:
        texts: a row per text of the run's table: ``url``; ``source`` (``web`` or ``synthetic``);
            ``reason`` (null, or the text filter's reason); ``rejected`` (null where the selection
            took the text, else the reason, the text filter's included); and the score columns.
        ledger: a row per row that stopped: ``url``, ``stage``, ``reason``.
        truth: what was planted, columns of ``plant.TRUTH_SCHEMA``.
        scores: score columns whose ROC AUC is wanted, higher where text and image match.

    Raises:
        KeyError: a frame lacks one of these columns.
        ValueError: the run and the list share no address: they do not belong together.
    """
    seen = set(texts["url"]) | set(ledger["url"])
    if not seen & set(truth["url"]):
        raise ValueError("the run holds no address of the planted list: is it another list's run?")
    rows = _outcomes(texts, ledger, truth)
    web = texts[texts["source"] == WEB].merge(
        truth.loc[truth["fault"] != REPEATED_ROW, ["url", "fault"]], on="url"
    )
    selected = web[web["rejected"].isna()]
    good = rows["fault"] == NONE
    return Verdict(
        rows=rows,
        faults=_by_fault(rows),
        good=int(good.sum()),
        good_kept=int(rows.loc[good, "kept"].sum()),
        noise_before=_noise(web),
        noise_after=_noise(selected),
        matching=_matching(web, scores),
    )


def _outcomes(texts: pd.DataFrame, ledger: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return ``Verdict.rows``: the fate of each planted row, in the list's order."""
    stops = _Stops(ledger)
    web = texts[texts["source"] == WEB].drop_duplicates("url").set_index("url")
    synthetic = texts[(texts["source"] == SYNTHETIC) & texts["rejected"].isna()]
    captioned = set(synthetic["url"])
    fates = []
    ordered = truth.sort_values("row", kind="stable")
    # A repeat takes its ledger entry first; what is left belongs to the row it repeats.
    later_first = ordered.sort_values("fault", key=lambda f: f != REPEATED_ROW, kind="stable")
    for row, url, fault in later_first[["row", "url", "fault"]].itertuples(index=False):
        stopped_by = stops.take(url, repeat=fault == REPEATED_ROW)
        in_table = stopped_by is None
        has_text = in_table and url in web.index
        if has_text:
            stopped_by = _text_stop(web.at[url, "reason"], web.at[url, "rejected"])
        kept = has_text and stopped_by is None
        rescued = in_table and not kept and url in captioned
        fates.append((row, url, fault, stopped_by, kept, rescued, _caught(fault, in_table, kept)))
    columns = ["row", "url", "fault", "stopped_by", "kept", "rescued", "caught"]
    frame = pd.DataFrame(fates, columns=columns).astype({"caught": "boolean"})
    return frame.sort_values("row", kind="stable", ignore_index=True)


class _Stops:
    """Ledger entries by address, each handed out once."""

    def __init__(self, ledger: pd.DataFrame) -> None:
        self._left: dict[str, list[tuple[str, str]]] = {}
        for url, stage, reason in ledger[["url", "stage", "reason"]].itertuples(index=False):
            self._left.setdefault(url, []).append((stage, reason))

    def take(self, url: str, *, repeat: bool) -> str | None:
        """Return where a row of that address stopped; a repeat stops as one, if at all."""
        entries = self._left.get(url, [])
        for index, (stage, reason) in enumerate(entries):
            if (reason == _DUPLICATE_ROW) == repeat:
                del entries[index]
                return f"{stage}: {reason}"
        return None


def _text_stop(reason: object, rejected: object) -> str | None:
    if isinstance(reason, str):
        return f"text filter: {reason}"
    return f"selector: {rejected}" if isinstance(rejected, str) else None


def _caught(fault: str, in_table: bool, kept: bool) -> bool | None:
    match FAULTS[fault].caught_when:
        case "row":
            return not in_table
        case "text":
            return not kept
    return None


def _by_fault(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``Verdict.faults``, in the order of ``faults.FAULTS``."""
    lines = []
    for fault in FAULTS.values():
        mine = rows[rows["fault"] == fault.name]
        if fault.caught_when == "never" or mine.empty:
            continue
        stops = Counter(mine.loc[mine["caught"], "stopped_by"].dropna())
        where = ", ".join(f"{stop} {count}" for stop, count in stops.most_common())
        caught, rescued = int(mine["caught"].sum()), int(mine["rescued"].sum())
        lines.append((fault.name, len(mine), caught, rescued, where, fault.meaning))
    columns = ["fault", "planted", "caught", "rescued", "where", "meaning"]
    return pd.DataFrame(lines, columns=columns)


def _matching(web: pd.DataFrame, scores: Iterable[str]) -> Matching:
    judged = web[web["reason"].isna()]
    good, mismatched = (judged[judged["fault"] == fault] for fault in (NONE, MISMATCHED))
    return Matching(
        good=len(good),
        mismatched=len(mismatched),
        good_rejected=int(good["rejected"].notna().sum()),
        mismatched_rejected=int(mismatched["rejected"].notna().sum()),
        auc={name: _auc(good[name], mismatched[name]) for name in scores},
    )


def _auc(good: pd.Series[float], mismatched: pd.Series[float]) -> float:
    high, low = (np.asarray(scores.dropna(), np.float64) for scores in (good, mismatched))
    return roc_auc(high, low) if high.size and low.size else float("nan")


def _noise(web: pd.DataFrame) -> float:
    return _share(int((~web["fault"].isin(_GOOD)).sum()), len(web))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
