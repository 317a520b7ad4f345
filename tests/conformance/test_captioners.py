"""What every family of captioners owes, on a small checkpoint with random weights."""

from __future__ import annotations

import importlib.util
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from torch import nn

from curate.core.errors import ModelError
from curate.core.families import kinds
from curate.images import decode
from curate.models.base import Captioner, Pixels
from curate.stages.captioning import CaptionerConfig, CaptionStage
from curate.stages.chat_types import TESTED
from tests.conformance.captioner_references import REFERENCES
from tests.models.captioner_checkpoints import TINY
from tests.models.checkpoints import tiny_blip_scorer
from tests.stages.partition_tables import TEXTS, by_uid, partition_table

#: Families whose processors need a package that transformers does not bring.
NEEDS = {"smolvlm": "num2words"}
ASKS = {"florence_2": "<CAPTION>"}
ROWS = len(TEXTS)


@dataclass(frozen=True)
class Family:
    """A family's name, its kind and a checkpoint of it."""

    name: str
    kind: str
    folder: Path

    @property
    def prompt(self) -> str:
        return ASKS.get(self.kind, "a picture of the")

    def config(self, **settings: Any) -> CaptionerConfig:
        config = kinds("captioners")[self.kind].config()
        assert issubclass(config, CaptionerConfig)
        said = {"model": str(self.folder), "prompt": self.prompt, "max_tokens": 8}
        return config(**{**said, "min_tokens": 0, **settings})


@pytest.fixture(scope="module", params=sorted(TINY))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    needed = NEEDS.get(request.param)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"the processor of {request.param} needs {needed}")
    kind, make = TINY[request.param]
    folder = tmp_path_factory.mktemp("models") / request.param.replace(" ", "-")
    return Family(request.param, kind, make(folder))


@pytest.fixture(scope="module")
def stage(family: Family) -> Iterator[CaptionStage]:
    stage = family.config(num_captions=3).build()
    with stage.ready():
        yield stage


@pytest.fixture(scope="module")
def beams(family: Family) -> Iterator[CaptionStage]:
    stage = family.config(decoding="beam", num_beams=3, num_captions=2).build()
    with stage.ready():
        yield stage


def _written(rows: pa.Table, count: int = 3) -> dict[str, list[str]]:
    return {uid: texts[-count:] for uid, texts in by_uid(rows, "texts").items()}


def _batch(stage: CaptionStage) -> tuple[Captioner, Pixels, list[str]]:
    """Return the stage's model, a batch of prepared pictures and their uids."""
    model, _ = stage._loaded()
    rows = partition_table()
    images = [model.prepare(decode(body)) for body in rows["image"].to_pylist()]
    return model, np.stack(images), rows["uid"].to_pylist()


def test_every_captioner_is_held_to_account_here() -> None:
    ours = {name for name, kind in kinds("captioners").items() if kind.module.startswith("curate.")}
    # MED and CoCa: test_med_family.py; vLLM cannot run here: test_vllm_chat.py
    assert ours - {"med", "coca", "vllm"} == {kind for kind, _ in TINY.values()} == set(REFERENCES)
    assert {name for name, (kind, _) in TINY.items() if kind == "chat"} == set(TESTED)


def test_greedy_captions_are_those_of_transformers(family: Family) -> None:
    rows = partition_table()
    stage = family.config(top_p=0).build()
    with stage.ready():
        got = [texts[-1] for texts in stage(rows).rows["texts"].to_pylist()]
    pictures = [decode(body) for body in rows["image"].to_pylist()]
    wanted = REFERENCES[family.kind](family.folder, pictures, family.prompt, 8)
    assert got == wanted
    assert len(set(got)) > 1, "all captions are alike: the comparison shows nothing"


def test_captions_do_not_depend_on_order_batch_or_worker(
    family: Family, stage: CaptionStage
) -> None:
    rows = partition_table()
    mapped = stage(rows)
    assert mapped.rows["uid"].equals(rows["uid"])
    wanted = _written(mapped.rows)
    assert _written(stage(rows.take([4, 2, 0, 5, 1, 3])).rows) == wanted
    elsewhere = family.config(num_captions=3, batch_size=2, decode_threads=1)
    another = pickle.loads(pickle.dumps(elsewhere)).build()
    with another.ready():
        parts = [another(rows.slice(start, 3)).rows for start in (0, 3)]
    assert _written(pa.concat_tables(parts)) == wanted
    assert len({text for texts in wanted.values() for text in texts}) > 2 * ROWS


def test_the_same_partition_gives_the_same_table_twice(stage: CaptionStage) -> None:
    assert stage(partition_table()).rows.equals(stage(partition_table()).rows)


def test_a_draw_does_not_hang_on_the_draws_beside_it(stage: CaptionStage) -> None:
    model, batch, uids = _batch(stage)
    several = model.caption(batch, uids, [0, 1, 2])
    assert model.caption(batch, uids, [0]) == [texts[:1] for texts in several]
    assert model.caption(batch[2:4], uids[2:4], [2, 5, 0])[1][::2] == several[3][::-2]


def test_beams_give_several_captions_an_image(beams: CaptionStage) -> None:
    rows = partition_table()
    together = _written(beams(rows).rows, 2)
    alone = [_written(beams(rows.slice(place, 1)).rows, 2) for place in range(ROWS)]
    assert together == {uid: texts for one in alone for uid, texts in one.items()}
    assert sum(first != second for first, second in together.values()) > ROWS // 2


def _rows_encoded(model: Any, batch: Pixels, uids: list[str], draws: range) -> int:
    """Return how many rows a model's tower begins to encode for the captions of a batch."""
    network = model._model if hasattr(model, "_model") else model._generation.model
    entry = next(m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d)))
    seen: list[int] = []
    handle = entry.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        model.caption(batch, uids, draws)
    finally:
        handle.remove()
    return sum(seen)


def test_an_image_is_encoded_once_for_all_of_its_captions(
    stage: CaptionStage, beams: CaptionStage
) -> None:
    model, batch, uids = _batch(stage)
    once = _rows_encoded(model, batch, uids, range(1))
    assert once > 0
    assert _rows_encoded(model, batch, uids, range(3)) == once
    halves = (batch[:2], uids[:2]), (batch[2:], uids[2:])
    assert sum(_rows_encoded(model, *half, range(2)) for half in halves) == once
    searching, _ = beams._loaded()
    assert _rows_encoded(searching, batch, uids, range(2)) == once


def test_weights_in_bfloat16_write_too(family: Family) -> None:
    half = family.config(dtype="bfloat16", num_captions=2).build()
    with half.ready():
        written = _written(half(partition_table()).rows, 2)
    assert len({text for texts in written.values() for text in texts}) > ROWS


def test_a_poor_row_stops_and_the_rest_goes_on(stage: CaptionStage) -> None:
    whole = _written(stage(partition_table()).rows)
    mapped = stage(partition_table(broken=[1]))
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == [None, "truncated_image", *[None] * (ROWS - 2)]
    got = _written(mapped.rows)
    assert [got[uid] == whole[uid] for uid in got] == [place != 1 for place in range(ROWS)]


def test_a_wrong_checkpoint_is_told_who_would_take_it(family: Family, tmp_path: Path) -> None:
    wrong = tiny_blip_scorer(tmp_path / "m")
    config = json.loads((wrong / "config.json").read_text())
    config["model_type"] = "clip"
    (wrong / "config.json").write_text(json.dumps(config))
    settings = family.config(model=str(wrong))
    (problem,) = settings.check()
    assert "the scorer 'clip' accepts 'clip'" in problem
    with pytest.raises(ModelError, match="the scorer 'clip' accepts 'clip'"):
        settings.load()


def test_too_long_a_caption_is_refused_before_it_is_written(family: Family) -> None:
    if family.name.endswith("t5"):
        pytest.skip("T5's positions are relative: there is no longest text")
    with pytest.raises(ModelError, match=r"has positions for \d+: lower max_tokens"):
        family.config(max_tokens=4000).load()
