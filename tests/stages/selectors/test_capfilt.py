from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.stages.selectors.capfilt import Config


def _texts(source: list[str], itm: list[float | None]) -> pa.Table:
    return pa.table({"source": source, "filter_itm": pa.array(itm, pa.float32())})


def test_each_text_is_judged_alone_and_human_texts_always_stay() -> None:
    texts = _texts(
        ["web", "web", "synthetic", "synthetic", "human", "human", "web"],
        [0.5, 0.4999, 0.9, 0.1, 0.01, None, None],
    )
    reasons = Config(itm="filter_itm").build().decide(texts)
    assert reasons.to_pylist() == [
        None,
        "itm_below_threshold",
        None,
        "itm_below_threshold",
        None,
        None,
        "not_scored",
    ]


def test_another_threshold_moves_the_cut() -> None:
    texts = _texts(["web"] * 3, [0.2, 0.6, 0.8])
    reasons = Config(itm="filter_itm", threshold=0.7).build().decide(texts)
    assert reasons.to_pylist() == ["itm_below_threshold", "itm_below_threshold", None]


def test_no_texts_give_no_reasons() -> None:
    reasons = Config(itm="filter_itm").build().decide(_texts([], []))
    assert reasons.type == pa.string()
    assert len(reasons) == 0


def test_a_chunked_table_is_judged_like_a_whole_one() -> None:
    parts = [_texts(["web", "human"], [0.1, 0.1]), _texts(["synthetic"], [0.7])]
    selector = Config(itm="filter_itm").build()
    whole = selector.decide(pa.concat_tables(parts)).to_pylist()
    assert whole == [reason for part in parts for reason in selector.decide(part).to_pylist()]


def test_reads_the_column_it_names() -> None:
    assert Config(itm="second_itm").reads == ("second_itm",)


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_outside_the_probabilities_is_refused(threshold: float) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        Config(itm="filter_itm", threshold=threshold)
