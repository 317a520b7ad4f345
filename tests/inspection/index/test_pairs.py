from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.core.errors import StoreError
from curate.core.selection import select
from curate.inspection.index.effects import calibrated, effect, histogram
from curate.inspection.index.filters import Condition
from curate.inspection.index.pairs import Pairs
from curate.inspection.index.query import DISTANCE, RANDOM, Near, Query, Threshold
from curate.inspection.index.search import Search
from curate.inspection.marks import Marks
from curate.stages.selectors.threshold import Config
from tests.inspection.index.material import made

#: Places of the pairs: 0 and 1 are of one image, 3 and 4 of another; 3 has no score.
SCORES = [0.9, 0.2, 0.4, None, 0.6, 0.5]


def opened(root: Path) -> Pairs:
    table = made(root)
    select(table, Config(column="x_itm", min=0.45).build(), {"min": 0.45}, name="default")
    return Pairs(table, Search(table), Marks(root, by="ada"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return opened(tmp_path_factory.mktemp("run"))


def places(pairs: Pairs, *conditions: tuple[Any, ...], **settings: Any) -> list[int]:
    query = Query(tuple(Condition(*one) for one in conditions), **settings)
    return [int(place) for place in pairs.answer(query).places]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("x_itm", ">=", 0.5), [0, 4, 5]),
        (("x_itm", "<", 0.5), [1, 2]),
        (("x_itm", "missing"), [3]),
        (("x_itm", "present"), [0, 1, 2, 4, 5]),
        (("width", "=", 101), [2]),
        (("width", "=", 101.0), [2]),
        (("width", "!=", 101), [0, 1, 3, 4, 5]),
        (("width", ">", 101.5), [3, 4, 5]),
        (("source", "=", "synthetic"), [1]),
        (("source", "!=", "synthetic"), [0, 2, 3, 4, 5]),
        (("reason", "missing"), [0, 1, 2, 4, 5]),
        (("reason", "=", "too_short"), [3]),
        (("reason", "!=", "other"), [3]),
        (("text", "contains", "DOG"), [0, 1, 2, 5]),
        (("text", "lacks", "dog"), [3, 4]),
        (("text", "begins", "a "), [0, 3]),
        (("text", "contains", "CAFÉ"), [4]),
        (("source", "begins", "SYN"), [1]),
        (("text", "contains", "<script>alert('x')"), [2]),
        (("text", "=", "a cat"), [3]),
        (("url", "contains", "host1"), [2, 5]),
        (("uid", "=", "0-1"), [2]),
        (("selection:default", "=", "selected"), [0, 4, 5]),
        (("selection:default", "=", "too_short"), [3]),
        (("selection:default", "!=", "selected"), [1, 2, 3]),
        # hostile words are words
        (("text", "=", "x' OR '1'='1"), []),
        (("text", "contains", "%"), []),
        (("text", "contains", "_"), []),
        (("text", "begins", "\\"), []),
        (("source", "=", "web') OR true --"), []),
        (("uid", "=", "\x00"), []),
        (("text", "contains", ".*"), []),
    ],
)
def test_conditions(pairs: Pairs, condition: tuple[Any, ...], expected: list[int]) -> None:
    assert places(pairs, condition) == expected


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (("x_imt", ">", 1), "no column 'x_imt': did you mean 'x_itm'"),
        (("x_itm", "contains", "1"), "has no filter 'contains'"),
        (("x_itm", ">", "1"), "a number is due"),
        (("x_itm", ">", True), "a number is due"),
        (("x_itm", ">", float("nan")), "a number is due"),
        (("x_itm", ">", None), "a number is due"),
        (("x_itm", "missing", 1), "no value is due"),
        (("text", "=", 1), "text is due"),
        (("text", "; DROP TABLE", "a"), "has no filter"),
        (("selection:other", "=", "selected"), "no column 'selection:other'"),
        (("default", "=", "selected"), "no column 'default'"),
    ],
)
def test_conditions_that_are_none(pairs: Pairs, condition: tuple[Any, ...], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        places(pairs, condition)


def test_all_conditions_hold(pairs: Pairs) -> None:
    assert places(pairs, ("x_itm", ">=", 0.3), ("text", "contains", "dog")) == [0, 2, 5]


def test_orders(pairs: Pairs) -> None:
    assert places(pairs, sort="x_itm", descending=True) == [0, 4, 5, 2, 1, 3]
    assert places(pairs, sort="x_itm") == [1, 2, 5, 4, 0, 3]  # what has no score comes last
    mixed = places(pairs, sort=RANDOM)
    assert sorted(mixed) == list(range(6))
    assert mixed != list(range(6))
    assert places(pairs, sort=RANDOM) == mixed
    web = ("source", "=", "web")
    assert places(pairs, web, sort=RANDOM) == [place for place in mixed if place != 1]
    with pytest.raises(StoreError, match="holds words: sort by a column of numbers"):
        places(pairs, sort="text")
    with pytest.raises(StoreError, match="distance from a threshold"):
        places(pairs, sort=DISTANCE)


def test_words_filters_and_orders_go_together(pairs: Pairs) -> None:
    found = pairs.answer(Query(words="dog"))
    assert sorted(found.places.tolist()) == [0, 1, 2, 5]
    assert found.closeness is not None
    by_place = dict(zip(found.places.tolist(), found.closeness.tolist(), strict=True))
    kept = pairs.answer(Query((Condition("x_itm", ">=", 0.4),), words="dog", sort="x_itm"))
    assert kept.places.tolist() == [2, 5, 0]
    assert kept.closeness is not None
    assert kept.closeness.tolist() == [by_place[place] for place in (2, 5, 0)]


def test_likeness(pairs: Pairs) -> None:
    assert places(pairs, near=Near(image=(0, 0))) == [0, 1, 2, 3, 4]
    assert places(pairs, near=Near(image=(0, 0)), words="dog") == [0, 1, 2]
    pairs.remember("mine", np.array([0, 1, 0, 0], np.float32))
    assert places(pairs, near=Near(picture="mine")) == [3, 4, 2, 0, 1]
    with pytest.raises(StoreError, match="choose it again"):
        places(pairs, near=Near(picture="yours"))
    with pytest.raises(StoreError, match="the image 2:2 has no embedding"):
        places(pairs, near=Near(image=(2, 2)))


def test_warming_up_changes_no_answer(pairs: Pairs) -> None:
    before = places(pairs, sort="x_itm", descending=True)
    pairs.warm_up()
    assert places(pairs, ("text", "present"), sort="x_itm", descending=True) == before


def test_what_changes_side(pairs: Pairs) -> None:
    stricter = Threshold("x_itm", 0.55, "default")
    assert places(pairs, shifted=stricter) == [5]
    looser = Threshold("x_itm", 0.15, "default")
    assert places(pairs, shifted=looser) == [1, 2]
    assert places(pairs, shifted=looser, sort=DISTANCE) == [1, 2]
    assert places(pairs, shifted=Threshold("x_itm", 0.45, 0.15), sort=DISTANCE) == [2, 1]
    assert places(pairs, shifted=Threshold("x_itm", 0.45, "default")) == []
    with pytest.raises(StoreError, match="no column 'selection:dfault'"):
        places(pairs, shifted=Threshold("x_itm", 0.45, "dfault"))


def test_what_a_threshold_does(pairs: Pairs) -> None:
    found = effect(pairs, Query(), Threshold("x_itm", 0.55, "default"))
    assert (found.scored, found.kept, found.unscored) == (5, 2, 1)
    assert (found.before, found.gained, found.lost) == (3, 0, 1)
    assert (found.images, found.images_kept) == (4, 2)
    assert found.sources == {"synthetic": (1, 0), "web": (4, 2)}
    dogs = Query((Condition("text", "contains", "dog"),))
    found = effect(pairs, dogs, Threshold("x_itm", 0.1, None))
    assert (found.scored, found.kept, found.gained, found.lost) == (4, 4, 4, 0)
    # on the scores as the selectors see them: a threshold that is a score keeps it
    exact = float(pairs.index.numbers("x_itm").values[0])
    assert effect(pairs, Query(), Threshold("x_itm", exact, None)).kept == 1
    with pytest.raises(StoreError, match="no column"):
        effect(pairs, Query(), Threshold("y", 0.1, None))


def test_histograms(pairs: Pairs) -> None:
    found = histogram(pairs, Query(), "x_itm")
    assert (found.edges[0], found.edges[-1]) == (0, 1)
    assert {name: int(count.sum()) for name, count in found.counts.items()} == {
        "synthetic": 1,
        "web": 4,
    }
    assert found.counts["web"][int(0.6 * 80)] == 1
    assert histogram(pairs, Query((Condition("uid", "=", "no"),)), "x_itm").counts == {}
    wide = histogram(pairs, Query(), "width")
    assert (wide.edges[0], wide.edges[-1]) == (100, 103)
    assert sum(int(count.sum()) for count in wide.counts.values()) == 6


def test_a_page_comes_from_memory_and_a_changed_selection_does_not(tmp_path: Path) -> None:
    pairs = opened(tmp_path)
    selected = Query((Condition("selection:default", "=", "selected"),))
    before = pairs.answer(selected)
    assert pairs.answer(selected) is before
    select(pairs.table, Config(column="x_itm", min=0.1).build(), {"min": 0.1}, name="default")
    pairs.look_for_selections()
    assert pairs.answer(selected).places.tolist() == [0, 1, 2, 4, 5]
    assert "selection:default-1" in pairs.names  # the earlier one has another name now
    assert places(pairs, ("selection:default-1", "=", "selected")) == [0, 4, 5]


def test_marks(tmp_path: Path) -> None:
    pairs = opened(tmp_path)
    good = ("mark", "=", "good")
    assert places(pairs, good) == []
    pairs.mark(0, True)
    pairs.mark(2, False)
    assert (places(pairs, good), places(pairs, ("mark", "=", "bad"))) == ([0], [2])
    assert places(pairs, ("mark", "missing")) == [1, 3, 4, 5]
    pairs.mark(0, None)
    assert places(pairs, good) == []
    assert pairs.undo()
    assert places(pairs, good) == [0]
    # another sitting finds them
    again = Pairs(pairs.table, Search(pairs.table), Marks(tmp_path, by="bob"))
    assert (places(again, good), places(again, ("mark", "=", "bad"))) == ([0], [2])
    assert not again.undo()
    with pytest.raises(StoreError, match="there is no pair 6"):
        pairs.mark(6, True)


def test_marks_calibrate(tmp_path: Path) -> None:
    pairs = opened(tmp_path)
    assert calibrated(pairs, Query(), "x_itm", "precision", 0.9) is None
    for place, good in ((0, True), (4, True), (5, True), (1, False), (2, False), (3, False)):
        pairs.mark(place, good)
    found = calibrated(pairs, Query(), "x_itm", "precision", 0.9)
    assert found is not None
    assert found.chosen is not None
    assert (found.num_texts, found.num_wrong) == (5, 2)  # the one without a score is left out
    assert 0.4 < found.chosen.threshold <= 0.5
    assert found.chosen.recall.value == 1
    web = Query((Condition("source", "=", "web"),))
    of_web = calibrated(pairs, web, "x_itm", "precision", 0.9)
    assert of_web is not None
    assert (of_web.num_texts, of_web.num_wrong) == (4, 1)
