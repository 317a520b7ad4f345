from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from curate.core.pairs import Pair
from curate.pretrain.mixing import Sample, image_id, samples, text_of
from curate.pretrain.sections import TextsConfig

PAIR = Pair(
    "u", b"", ["web", "made", "made too"], ["web", "synthetic", "synthetic"], [0.2, 0.9, 0.5]
)
WHOLE = Sample(0, None)


def shown(
    config: TextsConfig, *, pair: Pair = PAIR, epochs: int = 60, seed: int = 0
) -> Counter[str]:
    return Counter(text_of(pair, WHOLE, config, epoch=n, seed=seed) for n in range(epochs))


def test_turns_show_every_text_alike() -> None:
    assert shown(TextsConfig()) == {"web": 20, "made": 20, "made too": 20}


def test_concatenated_every_text_is_a_sample_of_its_own() -> None:
    config = TextsConfig(mixing="concatenate")
    made = samples([0, 2], [3, 9, 2], config)
    assert made == [Sample(0, 0), Sample(0, 1), Sample(0, 2), Sample(2, 0), Sample(2, 1)]
    texts = [text_of(PAIR, sample, config, epoch=5, seed=1) for sample in made[:3]]
    assert texts == PAIR.texts
    best = TextsConfig(mixing="concatenate", best=2)
    made = samples([0], [3], best)
    assert [text_of(PAIR, sample, best, epoch=0, seed=0) for sample in made] == ["made", "made too"]


@pytest.mark.parametrize("synthetic", [0.0, 0.3, 1.0])
def test_synthetic_texts_are_drawn_as_often_as_asked(synthetic: float) -> None:
    config = TextsConfig(mixing="sample", synthetic=synthetic)
    seen = shown(config, epochs=2000)
    assert 1 - seen["web"] / 2000 == pytest.approx(synthetic, abs=0.03)
    if synthetic:
        assert seen["made"] == pytest.approx(seen["made too"], rel=0.3)
    assert seen == shown(config, epochs=2000)
    if synthetic == 0.3:
        assert seen != shown(config, epochs=2000, seed=1)


def test_a_picture_with_texts_of_one_origin_shows_those() -> None:
    config = TextsConfig(mixing="sample", synthetic=0.5)
    web = Pair("u", b"", ["a", "b"], ["web", "web"])
    assert shown(config, pair=web, epochs=10) == {"a": 5, "b": 5}
    unknown = Pair("u", b"", ["a", "b"])
    assert shown(config, pair=unknown, epochs=10) == {"a": 5, "b": 5}


def test_the_best_texts_are_kept() -> None:
    assert shown(TextsConfig(best=1)) == {"made": 60}
    assert shown(TextsConfig(best=2)) == {"made": 30, "made too": 30}
    unscored = PAIR._replace(scores=[None, None, 0.1])
    assert shown(TextsConfig(best=1), pair=unscored) == {"made too": 60}
    assert shown(TextsConfig(best=1), pair=PAIR._replace(scores=())) == {"web": 60}


def test_a_probability_is_of_a_draw() -> None:
    for wrong in ({"mixing": "sample"}, {"synthetic": 0.5}):
        with pytest.raises(ValidationError, match="give both or none"):
            TextsConfig(**wrong)


def test_a_uid_is_a_number() -> None:
    assert image_id("a") == image_id("a") != image_id("b")
    assert -(2**63) <= image_id("a") < 2**63
