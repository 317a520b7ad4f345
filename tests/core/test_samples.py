from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from curate.core.samples import Position, Sample, Samples, TextsConfig, drawn
from curate.core.table import CommittedTable
from curate.exporters.webdataset import Config
from tests.exporters.material import chosen, small_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> CommittedTable:
    return small_table(tmp_path_factory.mktemp("run"))


def taken(
    table: CommittedTable, per: Literal["text", "image"] = "text", **options: Any
) -> list[Sample]:
    samples = Samples(table, chosen(table), Config(**options), per)
    return [sample for sample, _ in samples.after(Position(0, 0))]


def texts(samples: list[Sample]) -> list[list[str]]:
    return [[one.text for one in sample.captions] for sample in samples]


def test_all_texts_share_their_images_weight(table: CommittedTable) -> None:
    samples = taken(table, "image")
    assert texts(samples)[0] == ["a red dog", "ein Hund, ä"]
    assert [one.weight for one in samples[0].captions] == [0.5, 0.5]
    uneven = taken(table, "image", weights={"web": 1, "synthetic": 3})
    assert [one.weight for one in uneven[0].captions] == [0.25, 0.75]
    assert [one.weight for one in uneven[1].captions] == [1.0]


def test_a_sample_a_text_keeps_the_share(table: CommittedTable) -> None:
    samples = taken(table, weights={"web": 1, "synthetic": 3})
    assert [sample.captions[0].weight for sample in samples] == [0.25, 0.75, 1, 1, 1]
    assert len({sample.key for sample in samples}) == 5


def test_the_best_is_the_highest_score(table: CommittedTable) -> None:
    assert texts(taken(table, texts="best", best_by="x_itm")) == [
        *(["a red dog"], ["two birds"], ["a house"], ["three cats"]),
    ]


def test_a_sample_of_one_text_is_drawn_by_weights_and_stays_the_same(table: CommittedTable) -> None:
    only = taken(table, texts="sample", weights={"web": 0})
    assert texts(only) == [["ein Hund, ä"]]  # the other images have web texts alone
    draws = [texts(taken(table, texts="sample", seed=seed))[0][0] for seed in range(12)]
    assert set(draws) == {"a red dog", "ein Hund, ä"}
    assert draws == [texts(taken(table, texts="sample", seed=seed))[0][0] for seed in range(12)]


def test_draws_are_in_proportion() -> None:
    counts = Counter(drawn([1.0, 0.0, 3.0], f"key {number}")[0] for number in range(4000))
    assert set(counts) == {0, 2}
    assert counts[2] / 4000 == pytest.approx(0.75, abs=0.03)
    assert drawn([0.0, 0.0], "key") == []


def test_going_on_from_a_place_gives_the_rest(table: CommittedTable) -> None:
    samples = Samples(table, chosen(table), Config(), "text")
    every = list(samples.after(Position(0, 0)))
    for number, (_, behind) in enumerate(every):
        rest = [sample.key for sample, _ in samples.after(behind)]
        assert rest == [sample.key for sample, _ in every[number + 1 :]]
    assert len(samples) == len(every) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"texts": "best"}, "best_by goes with texts: best"),
        ({"best_by": "x_itm"}, "best_by goes with texts: best"),
        ({"seed": 3}, "seed without texts: sample"),
        ({"texts": "best", "best_by": "x", "weights": {"web": 2}}, "change nothing here"),
        ({"weights": {"web": -1}}, "at least 0"),
        ({"weights": {"photo": 1}}, "web"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config(**options)


def test_weights_are_refused_where_the_trainer_knows_none() -> None:
    class Plain(TextsConfig):
        knows_weights = False

    with pytest.raises(ValidationError, match="take texts: sample"):
        Plain(weights={"web": 2})
    assert Plain(texts="sample", weights={"web": 2}).weights == {"web": 2}


def test_columns_that_samples_need_are_asked_for(table: CommittedTable, tmp_path: Path) -> None:
    assert Config().reads == ("image",)
    assert Config(texts="best", best_by="x_itm").reads == ("image", "x_itm")


@pytest.mark.parametrize("per", ["text", "image"])
@pytest.mark.parametrize(
    "options",
    [{}, {"texts": "best", "best_by": "x_itm"}, {"texts": "sample", "weights": {"web": 0}}],
)
def test_counts_are_those_of_the_samples(
    table: CommittedTable, per: Literal["text", "image"], options: dict[str, Any]
) -> None:
    samples = Samples(table, chosen(table), Config(**options), per)
    for number in table.partitions:
        assert samples.count(number) == len(list(samples.partition(number)))


def test_another_salt_is_another_draw(table: CommittedTable) -> None:
    def drawn_with(salt: str) -> str:
        samples = Samples(table, chosen(table), Config(texts="sample"), "image", salt=salt)
        return next(samples.partition(0)).captions[0].text

    assert {drawn_with(str(number)) for number in range(12)} == {"a red dog", "ein Hund, ä"}
    assert drawn_with("3") == drawn_with("3")
