from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.models.checkpoint_digest import folder_digest
from curate.stages.captioners.med import Config
from tests.models.checkpoints import tiny_blip_captioner, tiny_med
from tests.stages.partition_tables import TEXTS, by_uid, partition_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("models") / "tiny-med")


def _config(folder: Path, **settings: Any) -> Config:
    return Config(**{"model": str(folder), "max_tokens": 10, "num_captions": 2, **settings})


def test_captions_are_appended_and_signed(folder: Path) -> None:
    stage = _config(folder).build()
    with stage.ready():
        rows = stage(partition_table()).rows
    for before, texts, models in zip(
        TEXTS, rows["texts"].to_pylist(), rows["text_models"].to_pylist(), strict=True
    ):
        assert texts[:-2] == before
        assert all(texts[-2:])
        signature = f"tiny-med@{folder_digest(folder)[:12]}"
        assert models[-1] == f"{signature} nucleus p=0.9 penalty=1.1 tokens=5-10 k=1 round=0"


def test_captions_do_not_depend_on_order_batch_or_worker(folder: Path) -> None:
    rows = partition_table()
    first, second = _config(folder).build(), _config(folder, batch_size=1).build()
    with first.ready(), second.ready():
        wanted = by_uid(first(rows).rows, "texts")
        shuffled = by_uid(first(rows.take([4, 2, 0, 5, 1, 3])).rows, "texts")
        parts = [second(rows.slice(start, 3)).rows for start in (3, 0)]
    assert shuffled == wanted
    assert by_uid(pa.concat_tables(parts), "texts") == wanted


def test_a_beam_search_is_refused_in_the_recipe() -> None:
    with pytest.raises(ValidationError, match="'nucleus' or 'greedy'"):
        Config(**{"decoding": "beam"})


def test_another_family_is_told_who_takes_it(tmp_path: Path) -> None:
    (said,) = Config(model=str(tiny_blip_captioner(tmp_path / "b"))).check()
    assert "holds a model of type 'blip', expected is med" in said
    assert said.endswith("the captioner 'blip' or the scorer 'blip' accepts 'blip'")
