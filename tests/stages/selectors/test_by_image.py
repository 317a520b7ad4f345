"""Selectors that look at the texts of an image together, or at where they came from."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.core.config import SelectorConfig
from curate.stages.selectors import best_k, mixture, rescue, source

Given = tuple[int, str, float | None]
"""A text: its image, where it came from, its score."""


def decide(config: SelectorConfig, texts: list[Given]) -> list[str | None]:
    rows, sources, values = zip(*texts, strict=True)
    table = pa.table(
        {
            "partition": pa.array([7] * len(texts), pa.int32()),
            "row": pa.array(rows, pa.int32()),
            "uid": pa.array([f"{row:032x}" for row in rows]),
            "source": pa.array(sources),
            "x_itm": pa.array(values, pa.float32()),
        }
    )
    reasons: list[str | None] = config.build().decide(table).to_pylist()
    return reasons


def test_the_best_of_each_image_stay() -> None:
    texts: list[Given] = [
        (0, "web", 0.2), (0, "synthetic", 0.9), (0, "synthetic", 0.5),
        (1, "web", 0.1),
        (3, "web", 0.7), (3, "synthetic", 0.7), (3, "synthetic", None),
    ]  # fmt: skip
    assert decide(best_k.Config(column="x_itm", k=1), texts) == [
        "not_among_best", None, "not_among_best", None, None, "not_among_best", "not_scored",
    ]  # fmt: skip
    assert decide(best_k.Config(column="x_itm", k=2, min=0.15), texts) == [
        "not_among_best", None, None, "below_min", None, None, "not_scored",
    ]  # fmt: skip


def test_texts_without_a_score_take_no_place() -> None:
    texts: list[Given] = [(0, "web", None), (0, "web", None), (0, "synthetic", -0.5)]
    assert decide(best_k.Config(column="x_itm", k=1), texts) == ["not_scored", "not_scored", None]


def test_no_texts() -> None:
    configs: list[SelectorConfig] = [
        best_k.Config(column="x_itm"),
        rescue.Config(column="x_itm", min=0.5),
        mixture.Config(column="x_itm"),
        source.Config(),
    ]
    for config in configs:
        table = pa.table(
            {"partition": pa.array([], pa.int32()), "row": pa.array([], pa.int32()),
             "uid": pa.array([], pa.string()), "source": pa.array([], pa.string()),
             "x_itm": pa.array([], pa.float32())}
        )  # fmt: skip
        assert config.build().decide(table).to_pylist() == []


def test_captions_stand_in_for_web_texts_that_fail() -> None:
    texts: list[Given] = [
        (0, "web", 0.6), (0, "synthetic", 0.9),  # the web text passes
        (1, "web", 0.4), (1, "synthetic", 0.55),  # it fails
        (2, "web", 0.4), (2, "synthetic", 0.3),  # both fail
        (3, "synthetic", 0.8),  # none
        (4, "human", 0.0), (4, "synthetic", 0.9),  # people are believed
        (5, "web", None), (5, "synthetic", 0.6),
    ]  # fmt: skip
    assert decide(rescue.Config(column="x_itm", min=0.5), texts) == [
        None, "web_text_kept", "below_min", None, "below_min", "below_min", None,
        None, "web_text_kept", "not_scored", None,
    ]  # fmt: skip
    strict = decide(rescue.Config(column="x_itm", min=0.5, synthetic_min=0.7), texts)
    assert strict[3] == "below_min"
    assert strict[6] is None


def test_mixture_keeps_one_text_an_image_in_proportion() -> None:
    texts: list[Given] = [(row, kind, 0.5) for row in range(2000) for kind in ("web", "synthetic")]
    reasons = decide(mixture.Config(synthetic=0.6), texts)
    kept = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
    assert [row for row, *_ in kept] == list(range(2000))
    share = sum(kind == "synthetic" for _, kind, _ in kept) / 2000
    assert abs(share - 0.6) < 0.04
    assert decide(mixture.Config(synthetic=0.6), texts[1000:]) == reasons[1000:]
    assert decide(mixture.Config(synthetic=0.6, seed=1), texts) != reasons


@pytest.mark.parametrize(("synthetic", "kept"), [(0.0, "web"), (1.0, "synthetic")])
def test_mixture_of_one_kind(synthetic: float, kept: str) -> None:
    texts: list[Given] = [
        (0, "web", 0.1), (0, "synthetic", 0.2), (0, "web", 0.3), (0, "synthetic", 0.4),
        (1, "web", 0.5),
        (2, "synthetic", 0.5),
    ]  # fmt: skip
    reasons = decide(mixture.Config(synthetic=synthetic, column="x_itm"), texts)
    chosen = 2 if kept == "web" else 3
    wanted: list[Any] = ["not_drawn"] * 4
    wanted[chosen] = None
    assert reasons == [*wanted, None, None]


def test_mixture_passes_over_what_scores_too_low() -> None:
    texts: list[Given] = [(0, "web", 0.1), (0, "synthetic", 0.2), (0, "synthetic", None)]
    config = mixture.Config(synthetic=0.0, column="x_itm", min=0.15)
    assert decide(config, texts) == ["below_min", None, "not_scored"]
    with pytest.raises(ValidationError, match="give its column"):
        mixture.Config(min=0.5)


def test_sources() -> None:
    texts: list[Given] = [(0, "web", None), (0, "synthetic", 0.2), (1, "human", 0.3)]
    assert decide(source.Config(keep=("web", "human")), texts) == [None, "other_source", None]
    assert decide(source.Config(), texts) == [None, None, None]
