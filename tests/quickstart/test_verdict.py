"""The verdict on a small run written by hand, every number counted by hand."""

import math

import pandas as pd
import pytest

from curate.quickstart.verdict import Verdict, judge

U = "http://pictures.test/{}.jpg".format

TRUTH = [  # url, text, fault
    ("a", "An owl.", "none"),
    ("b", "A lark.", "none"),
    ("c", "A cow.", "none"),
    ("d", "A tent.", "mismatched"),
    ("e", "A star.", "mismatched"),
    ("f", "A door.", "mismatched"),
    ("g", "image", "boilerplate"),
    ("h", "IMG_1.JPG", "file_name"),
    ("i", "A bear.", "http_404"),
    ("j", "A bear.", "icon"),
    ("a", "An owl.", "repeated_row"),
    ("k", "A lark.", "near_duplicate"),
    ("l", None, "null_text"),
    ("m", "A yam.", "banner"),
]

LEDGER = [
    ("a", "exact", "duplicate_row"),
    ("i", "fetch", "http_404"),
    ("j", "resolution", "too_small"),
    ("f", "resolution", "too_small"),
    ("k", "perceptual", "near_duplicate"),
]

TEXTS = [  # url, source, reason, rejected, itm
    ("a", "web", None, None, 0.9),
    ("a", "synthetic", None, None, 0.9),
    ("b", "web", None, "below_threshold", 0.3),
    ("b", "synthetic", None, None, 0.8),
    ("c", "web", "too_few_words", "too_few_words", None),
    ("d", "web", None, "below_threshold", 0.1),
    ("d", "synthetic", None, None, 0.9),
    ("e", "web", None, None, 0.6),
    ("g", "web", None, None, 0.7),
    ("h", "web", "too_few_words", "too_few_words", None),
    ("h", "synthetic", None, "below_threshold", 0.2),
    ("l", "synthetic", None, None, 0.7),
    ("m", "web", None, None, 0.95),
]


def frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    texts = pd.DataFrame(TEXTS, columns=["url", "source", "reason", "rejected", "f_itm"])
    ledger = pd.DataFrame(LEDGER, columns=["url", "stage", "reason"])
    truth = pd.DataFrame(TRUTH, columns=["url", "text", "fault"]).assign(row=range(len(TRUTH)))
    for frame in (texts, ledger, truth):
        frame["url"] = frame["url"].map(U)
    return texts, ledger, truth


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return judge(*frames(), scores=["f_itm"])


def test_every_row_has_its_fate_in_the_lists_order(verdict: Verdict) -> None:
    rows = verdict.rows
    assert rows["row"].tolist() == list(range(14))
    assert rows["stopped_by"].where(rows["stopped_by"].notna(), None).tolist() == [
        None,
        "selector: below_threshold",
        "text filter: too_few_words",
        "selector: below_threshold",
        None,
        "resolution: too_small",
        None,
        "text filter: too_few_words",
        "fetch: http_404",
        "resolution: too_small",
        "exact: duplicate_row",
        "perceptual: near_duplicate",
        None,
        None,
    ]
    assert rows.loc[rows["kept"], "row"].tolist() == [0, 4, 6, 13]
    assert rows.loc[rows["rescued"], "row"].tolist() == [1, 3, 12]


def test_faults_are_counted_with_where_they_were_caught(verdict: Verdict) -> None:
    faults = verdict.faults.set_index("fault")
    assert faults["planted"].to_dict() == {
        "mismatched": 3,
        "boilerplate": 1,
        "file_name": 1,
        "http_404": 1,
        "icon": 1,
        "banner": 1,
        "repeated_row": 1,
        "near_duplicate": 1,
    }
    assert faults["caught"].to_dict() == {
        "mismatched": 2,
        "boilerplate": 0,
        "file_name": 1,
        "http_404": 1,
        "icon": 1,
        "banner": 0,
        "repeated_row": 1,
        "near_duplicate": 1,
    }
    where = faults.at["mismatched", "where"]
    assert where == "selector: below_threshold 1, resolution: too_small 1"
    assert faults.at["mismatched", "rescued"] == 1
    assert faults.at["banner", "where"] == ""


def test_good_rows_and_noise(verdict: Verdict) -> None:
    assert (verdict.good, verdict.good_kept) == (3, 1)
    # Before: a b c fit; d e g h and the banner's m do not. After: a fits; e g m do not.
    assert verdict.noise_before == pytest.approx(5 / 8)
    assert verdict.noise_after == pytest.approx(3 / 4)


def test_matching_counts_what_reached_the_selector(verdict: Verdict) -> None:
    matching = verdict.matching
    assert (matching.good, matching.mismatched) == (2, 2)
    assert (matching.good_rejected, matching.mismatched_rejected) == (1, 1)
    assert matching.precision == pytest.approx(0.5)
    assert matching.recall == pytest.approx(0.5)
    # Good 0.9 and 0.3 against mismatched 0.1 and 0.6: three of four pairs in order.
    assert matching.auc == {"f_itm": pytest.approx(0.75)}


def test_a_repeat_that_was_not_dropped_is_missed() -> None:
    texts, ledger, truth = frames()
    kept_both = ledger[ledger["reason"] != "duplicate_row"]
    faults = judge(texts, kept_both, truth, scores=[]).faults.set_index("fault")
    assert faults.at["repeated_row", "caught"] == 0


def test_a_repeat_is_caught_even_if_what_it_repeats_stops_later() -> None:
    texts, ledger, truth = frames()
    later = pd.DataFrame([(U("a"), "fetch", "timeout")], columns=ledger.columns)
    texts = texts[texts["url"] != U("a")]
    rows = judge(texts, pd.concat([later, ledger]), truth, scores=[]).rows
    assert rows.at[0, "stopped_by"] == "fetch: timeout"
    assert rows.at[10, "stopped_by"] == "exact: duplicate_row"


def test_nothing_scored_gives_nan_and_not_a_number_out_of_thin_air() -> None:
    texts, ledger, truth = frames()
    texts = texts[texts["source"] == "synthetic"]
    verdict = judge(texts, ledger, truth, scores=["f_itm"])
    assert math.isnan(verdict.matching.auc["f_itm"])
    assert math.isnan(verdict.matching.precision)
    assert math.isnan(verdict.noise_after)


def test_another_lists_run_is_refused() -> None:
    texts, ledger, truth = frames()
    truth["url"] = truth["url"].str.replace("pictures.test", "elsewhere.test")
    with pytest.raises(ValueError, match="another list's run"):
        judge(texts, ledger, truth, scores=[])
