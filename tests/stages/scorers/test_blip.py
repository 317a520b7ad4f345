from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from curate.core.columns import is_score
from curate.core.stage import CANARY_KEYS
from curate.images import decode
from curate.models.blip import BlipScorer
from curate.models.checkpoints import fetch
from curate.stages.scorers.blip import Config
from curate.stages.scoring import ScoreStage
from tests.models.checkpoints import tiny_blip_scorer
from tests.stages.partition_tables import TEXTS, by_uid, partition_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip_scorer(tmp_path_factory.mktemp("models") / "tiny-scorer")


@pytest.fixture(scope="module")
def stage(folder: Path) -> Iterator[ScoreStage]:
    stage = Config(model=str(folder), **{"as": "filter"}).build()
    with stage.ready():
        yield stage


@pytest.fixture(scope="module")
def model(folder: Path) -> BlipScorer:
    return BlipScorer(fetch(str(folder), None), device=torch.device("cpu"), dtype=torch.float32)


def _alone(model: BlipScorer, rows: pa.Table, place: int, text: str) -> tuple[float, float]:
    image = model.prepare(decode(rows["image"][place].as_py()))
    scores = model.score(image[None], [text], [0])
    return float(scores.numbers["itc"][0]), float(scores.numbers["itm"][0])


def test_every_text_gets_the_score_of_its_own_image(stage: ScoreStage, model: BlipScorer) -> None:
    rows = partition_table()
    mapped = stage(rows)
    itc, itm = mapped.rows["filter_itc"].to_pylist(), mapped.rows["filter_itm"].to_pylist()
    for place, texts in enumerate(TEXTS):
        wanted = [_alone(model, rows, place, text) for text in texts]
        np.testing.assert_allclose(itc[place], [pair[0] for pair in wanted], atol=1e-5)
        np.testing.assert_allclose(itm[place], [pair[1] for pair in wanted], atol=1e-5)
    assert is_score(mapped.rows.schema.field("filter_itm"))
    assert mapped.rows.drop_columns(["filter_itc", "filter_itm", "filter_truncated"]).equals(rows)


def test_texts_with_a_reason_and_null_texts_stay_null(stage: ScoreStage) -> None:
    rows = partition_table(
        [["a dog", "too short"], [None, "a cat"]], reasons=[[None, "x"], [None] * 2]
    )
    itm = stage(rows).rows["filter_itm"].to_pylist()
    assert [[value is None for value in row] for row in itm] == [[False, True], [True, False]]


def test_an_image_without_an_eligible_text_is_not_even_decoded(folder: Path) -> None:
    rows = partition_table([["x"], ["a dog"]], reasons=[["boilerplate"], [None]], broken=[0])
    stage = Config(model=str(folder), canaries=0).build()
    with stage.ready():
        mapped = stage(rows)
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [None, None]


def test_a_broken_picture_stops_with_its_reason(stage: ScoreStage) -> None:
    mapped = stage(partition_table(broken=[0]))
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == ["truncated_image", *[None] * 5]
    assert mapped.rows["filter_itm"][0].as_py() == [None]


def test_canaries_are_scored_apart(stage: ScoreStage, model: BlipScorer, folder: Path) -> None:
    rows = partition_table()
    every = Config(model=str(folder), canaries=1.0, **{"as": "filter"}).build()
    with every.ready():
        mapped = every(rows)
    canaries = mapped.canaries
    assert canaries is not None
    wanted = [pa.field(f"filter_{name}", pa.float32()) for name in ("itc", "itm")]
    assert canaries.schema.equals(pa.schema([*CANARY_KEYS, *wanted]))
    assert canaries["row"].to_pylist() == list(range(10, 16))
    assert set(canaries["partition"].to_pylist()) == {3}
    for canary in canaries.to_pylist():
        place, other = canary["row"] - 10, canary["text_row"] - 10
        assert canary["text"] in TEXTS[other]
        assert canary["text"] not in TEXTS[place]
        itc, itm = _alone(model, rows, place, canary["text"])
        assert canary["filter_itc"] == pytest.approx(itc, abs=1e-5)
        assert canary["filter_itm"] == pytest.approx(itm, abs=1e-5)
    texts = by_uid(stage(rows).rows, "filter_itm")
    for uid, scores in by_uid(mapped.rows, "filter_itm").items():
        assert scores == pytest.approx(texts[uid], abs=1e-5)


def test_no_canaries_where_they_are_switched_off(folder: Path) -> None:
    stage = Config(model=str(folder), canaries=0).build()
    with stage.ready():
        canaries = stage(partition_table()).canaries
    assert canaries is not None
    assert canaries.num_rows == 0
    assert canaries.column_names == [*CANARY_KEYS.names, "blip_itc", "blip_itm"]


def test_scores_do_not_depend_on_order_or_batch(folder: Path, stage: ScoreStage) -> None:
    rows = partition_table()
    wanted = by_uid(stage(rows).rows, "filter_itm")
    small = Config(model=str(folder), batch_size=2, **{"as": "filter"}).build()
    with small.ready():
        got = by_uid(small(rows.take([5, 3, 1, 0, 2, 4])).rows, "filter_itm")
    for uid, scores in wanted.items():
        assert got[uid] == pytest.approx(scores, abs=1e-5)


def test_when_memory_runs_out_the_batch_is_halved(folder: Path) -> None:
    class SmallDevice:
        """A real scorer on a device with room for one picture."""

        def __init__(self, model: Any) -> None:
            self.signature, self.prepare, self._model = model.signature, model.prepare, model

        def score(self, images_B3HW: Any, texts: Any, images_of: Any) -> Any:
            if len(images_B3HW) > 1:
                raise torch.OutOfMemoryError
            return self._model.score(images_B3HW, texts, images_of)

    class SmallConfig(Config):
        def load(self) -> Any:
            return SmallDevice(super().load())

    small, roomy = (
        kind(model=str(folder), **{"as": "f"}).build() for kind in (SmallConfig, Config)
    )
    with small.ready(), roomy.ready():
        halved, whole = small(partition_table()), roomy(partition_table())
    assert halved.notes["halvings"] > 0
    for uid, scores in by_uid(whole.rows, "f_itc").items():
        assert by_uid(halved.rows, "f_itc")[uid] == pytest.approx(scores, abs=1e-5)


def test_an_empty_partition_gets_empty_columns(stage: ScoreStage) -> None:
    mapped = stage(partition_table([]))
    assert mapped.rows.num_rows == 0
    assert {"filter_itc", "filter_itm"} < set(mapped.rows.column_names)
    assert mapped.canaries is not None
    assert mapped.canaries.num_rows == 0


def test_the_name_is_the_kind_unless_given() -> None:
    assert [field.name for field in Config(model="a/b").writes] == [
        *("blip_itc", "blip_itm", "blip_truncated")
    ]
    named = Config(model="a/b", **{"as": "second"})
    assert [field.name for field in named.writes] == [
        *("second_itc", "second_itm", "second_truncated")
    ]
    assert (named.label, Config(model="a/b").label) == ("second", None)


def test_a_name_that_is_no_column_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="as"):
        Config(model="a/b", **{"as": "My Filter"})


def test_which_first_token_itm_reads_is_part_of_the_identity(folder: Path) -> None:
    cls, enc = (Config(model=str(folder), itm_token=token) for token in ("cls", "enc"))
    assert cls.identity() != enc.identity()
