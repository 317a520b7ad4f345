from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from curate.core.errors import ModelError
from curate.images import decode
from curate.models.checkpoints import fetch
from curate.models.med_family import MedScorer
from curate.stages.scorers.med import Config
from tests.models.checkpoints import tiny_blip_scorer, tiny_med
from tests.stages.partition_tables import TEXTS, by_uid, partition_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("models") / "tiny-med")


def test_every_text_gets_the_score_of_its_own_image(folder: Path) -> None:
    rows = partition_table()
    stage = Config(model=str(folder), canaries=1.0, **{"as": "filter"}).build()
    with stage.ready():
        mapped = stage(rows)
    model = MedScorer(fetch(str(folder), None), device=torch.device("cpu"), dtype="float32")
    for place, texts in enumerate(TEXTS):
        image = model.prepare(decode(rows["image"][place].as_py()))
        wanted = model.score(image[None], texts, [0] * len(texts))
        for name in ("itc", "itm"):
            got = mapped.rows[f"filter_{name}"][place].as_py()
            np.testing.assert_allclose(got, wanted.numbers[name], atol=1e-5)
    assert mapped.canaries is not None
    assert mapped.canaries.num_rows == len(TEXTS)


def test_scores_do_not_depend_on_order_or_batch(folder: Path) -> None:
    rows = partition_table()
    first, second = (Config(model=str(folder), batch_size=size).build() for size in (32, 2))
    with first.ready(), second.ready():
        wanted = by_uid(first(rows).rows, "med_itm")
        got = by_uid(second(rows.take([5, 3, 1, 0, 2, 4])).rows, "med_itm")
    for uid, scores in wanted.items():
        assert got[uid] == pytest.approx(scores, abs=1e-5)


def test_a_checkpoint_of_another_family_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    stage = Config(model=str(tiny_blip_scorer(tmp_path / "b"))).build()
    with pytest.raises(ModelError, match="the scorer 'blip' accepts 'blip'"), stage.ready():
        pass
