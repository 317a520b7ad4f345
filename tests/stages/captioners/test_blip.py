from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from pydantic import ValidationError

from curate.core.columns import TEXT_FIELDS, pad_parallel
from curate.core.errors import ModelError
from curate.models.checkpoint_digest import folder_digest
from curate.models.sampling import Sampling
from curate.stages.captioners.blip import Config
from curate.stages.captioning import CaptionStage
from tests.models.checkpoints import tiny_blip_captioner, tiny_blip_scorer
from tests.stages.partition_tables import TEXTS, by_uid, partition_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip_captioner(tmp_path_factory.mktemp("models") / "tiny-captioner")


def _config(folder: Path, **settings: Any) -> Config:
    return Config(**{"model": str(folder), "max_tokens": 8, "num_captions": 2, **settings})


@pytest.fixture(scope="module")
def stage(folder: Path) -> Iterator[CaptionStage]:
    stage = _config(folder).build()
    with stage.ready():
        yield stage


def test_captions_are_appended_with_source_and_maker(stage: CaptionStage, folder: Path) -> None:
    rows = partition_table()
    mapped = stage(rows)
    after = mapped.rows
    assert after.column_names == rows.column_names
    for before, texts, sources, models, reasons in zip(
        TEXTS, *(after[field.name].to_pylist() for field in TEXT_FIELDS), strict=True
    ):
        count = len(before)
        assert texts[:count] == before
        assert all(texts[count:])
        assert sources == ["web"] * count + ["synthetic"] * 2
        assert reasons == [None] * (count + 2)
        maker = f"tiny-captioner@{folder_digest(folder)[:12]} nucleus p=0.9 penalty=1.1"
        settings = "prompt='a picture of' tokens=5-8"
        assert models == [None] * count + [f"{maker} {settings} k={k} round=0" for k in (0, 1)]
    assert mapped.reasons is not None
    assert mapped.reasons.null_count == len(TEXTS)
    assert mapped.notes["captions"] == 12


def test_captions_do_not_depend_on_order_batch_or_worker(folder: Path, stage: CaptionStage) -> None:
    rows = partition_table()
    wanted = by_uid(stage(rows).rows, "texts")
    assert by_uid(stage(rows.take([4, 2, 0, 5, 1, 3])).rows, "texts") == wanted
    another = _config(folder, batch_size=1, decode_threads=1).build()
    with another.ready():
        parts = [another(rows.slice(start, 2)).rows for start in (0, 2, 4)]
    assert by_uid(pa.concat_tables(parts), "texts") == wanted
    assert len({text for texts in wanted.values() for text in texts[-2:]}) == 12


def test_the_same_partition_gives_the_same_table_twice(stage: CaptionStage) -> None:
    assert stage(partition_table()).rows.equals(stage(partition_table()).rows)


def test_a_broken_picture_stops_with_its_reason_and_the_rest_goes_on(stage: CaptionStage) -> None:
    whole = by_uid(stage(partition_table()).rows, "texts")
    mapped = stage(partition_table(broken=[1, 4]))
    assert mapped.reasons is not None
    assert mapped.details is not None
    reason = "truncated_image"
    assert mapped.reasons.to_pylist() == [None, reason, None, None, reason, None]
    assert "PNG" in mapped.details[1].as_py()
    got = by_uid(mapped.rows, "texts")
    for place, uid in enumerate(got):
        assert got[uid] == (TEXTS[place] if place in (1, 4) else whole[uid])


def test_a_row_without_a_picture_stops(stage: CaptionStage) -> None:
    rows = partition_table(TEXTS[:2])
    image = rows.schema.get_field_index("image")
    rows = rows.set_column(image, "image", pa.array([None, rows["image"][1].as_py()], pa.binary()))
    mapped = stage(rows)
    assert mapped.reasons is not None
    assert mapped.reasons.to_pylist() == ["no_image", None]


def test_an_empty_partition_stays_empty(stage: CaptionStage) -> None:
    mapped = stage(partition_table([]))
    assert mapped.rows.num_rows == 0
    assert mapped.rows.schema.equals(partition_table([]).schema)


def test_scores_given_before_keep_step(stage: CaptionStage) -> None:
    rows = partition_table()
    score = pa.array([[0.5] * len(texts) for texts in TEXTS], pa.list_(pa.float32()))
    field = pa.field("old_itm", score.type, metadata={"curate.parallel": "texts"})
    padded = pad_parallel(stage(rows.append_column(field, score)).rows)
    lengths = pc.list_value_length(padded["old_itm"]).to_pylist()
    assert lengths == pc.list_value_length(padded["texts"]).to_pylist()


class _Recites:
    """A small real captioner that says a given text for each draw of each uid."""

    signature = "recites@0"

    def __init__(self, says: Any) -> None:
        self._says, self.calls = says, []

    def prepare(self, image: Any) -> Any:
        return np.ascontiguousarray(image[:8, :8].transpose(2, 0, 1))

    def caption(self, images_B3HW: Any, uids: Any, draws: Any) -> list[list[str]]:
        assert len(images_B3HW) == len(uids)
        self.calls.append((list(uids), list(draws)))
        return [[self._says(uid, draw) for draw in draws] for uid in uids]


def _reciting(folder: Path, says: Any, **settings: Any) -> tuple[CaptionStage, _Recites]:
    model = _Recites(says)

    class Reciting(Config):
        def load(self) -> Any:
            return model

    return Reciting(**{"model": str(folder), **settings}).build(), model


def test_a_degenerate_caption_is_drawn_once_more_and_the_others_stay(folder: Path) -> None:
    rows = partition_table()
    second = rows["uid"][1].as_py()

    def says(uid: str, draw: int) -> str:
        return "dai dai dai" if (uid, draw) == (second, 1) else f"caption {draw} of {uid}"

    stage, model = _reciting(folder, says, num_captions=2)
    with stage.ready():
        mapped = stage(rows)
    uids = rows["uid"].to_pylist()
    for uid, texts, models in zip(
        uids, *(mapped.rows[name].to_pylist() for name in ("texts", "text_models")), strict=True
    ):
        draws = [0, 3] if uid == second else [0, 1]
        assert texts[-2:] == [f"caption {draw} of {uid}" for draw in draws]
        assert [made.split()[-2] for made in models[-2:]] == [f"k={draw}" for draw in draws]
    assert model.calls == [(uids, [0, 1]), ([second], [3])]
    assert all(not any(reasons) for reasons in mapped.rows["text_reasons"].to_pylist())
    assert (mapped.notes["redrawn"], mapped.notes["degenerate"]) == (1, 0)


def test_a_caption_that_stays_degenerate_is_kept_with_its_reason(folder: Path) -> None:
    poor = {0: "", 2: "a a a", 1: "a word", 3: "never asked for"}
    stage, model = _reciting(folder, lambda uid, draw: poor[draw], num_captions=2)
    with stage.ready():
        mapped = stage(partition_table(TEXTS[:1]))
    assert mapped.rows["texts"].to_pylist() == [[*TEXTS[0], "", "a word"]]
    assert mapped.rows["text_reasons"].to_pylist() == [[None, "empty_caption", None]]
    assert mapped.rows["text_models"].to_pylist()[0][1].endswith("k=0 round=0")
    assert [draws for _, draws in model.calls] == [[0, 1], [2]]
    assert (mapped.notes["redrawn"], mapped.notes["degenerate"]) == (0, 1)


@pytest.mark.parametrize("decoding", ["greedy", "beam"])
def test_what_is_not_sampled_is_marked_at_once(folder: Path, decoding: str) -> None:
    stage, model = _reciting(folder, lambda uid, draw: "la la la", decoding=decoding)
    with stage.ready():
        mapped = stage(partition_table(TEXTS[:2]))
    reasons = mapped.rows["text_reasons"].to_pylist()
    assert [some[-1] for some in reasons] == ["repetitive_caption"] * 2
    assert len(model.calls) == 1


def test_captions_drawn_again_do_not_depend_on_order_or_batch(folder: Path) -> None:
    """A sampler without a least length and with much noise writes enough empty captions."""
    settings = {"max_tokens": 1, "min_tokens": 0, "temperature": 3.0, "top_p": 1.0}
    rows = partition_table([*TEXTS] * 2)
    large = _config(folder, num_captions=3, **settings).build()
    small = _config(folder, num_captions=3, batch_size=1, **settings).build()
    with large.ready(), small.ready():
        whole = large(rows)
        backwards = small(rows.take(list(range(rows.num_rows - 1, -1, -1))))
    assert whole.notes["redrawn"] > 0
    for name in ("texts", "text_models", "text_reasons"):
        assert by_uid(backwards.rows, name) == by_uid(whole.rows, name)


def test_when_memory_runs_out_the_batch_is_halved_and_nothing_else_changes(folder: Path) -> None:
    class SmallDevice:
        """A real captioner on a device with room for two pictures."""

        def __init__(self, model: Any) -> None:
            self.signature, self.prepare, self._model = model.signature, model.prepare, model

        def caption(self, images_B3HW: Any, uids: Any, draws: Any) -> Any:
            if len(uids) > 2:
                raise torch.OutOfMemoryError
            return self._model.caption(images_B3HW, uids, draws)

    class SmallConfig(Config):
        def load(self) -> Any:
            return SmallDevice(super().load())

    settings: dict[str, Any] = {"model": str(folder), "max_tokens": 8}
    small, roomy = SmallConfig(**settings).build(), Config(**settings).build()
    with small.ready(), roomy.ready():
        halved, whole = small(partition_table()), roomy(partition_table())
    assert halved.rows.equals(whole.rows)
    assert (halved.notes["halvings"], whole.notes["halvings"]) == (2, 0)


def test_greedy_is_asked_for_in_two_ways(folder: Path) -> None:
    words = _config(folder, num_captions=1, decoding="greedy").writing()
    assert words == _config(folder, num_captions=1, top_p=0).writing()
    assert words.sampling == Sampling(top_p=0, min_tokens=5)
    assert words.describe(0).startswith("greedy prompt='a picture of'")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decoding": "beam", "top_p": 0.5}, "top_p without effect: decoding is beam"),
        ({"decoding": "greedy", "temperature": 2}, "temperature without effect"),
        ({"num_beams": 4}, "num_beams without effect: decoding is nucleus"),
        ({"decoding": "greedy", "num_captions": 2}, "greedy decoding writes one caption"),
        ({"decoding": "beam", "num_captions": 4}, "3 beams give at most as many"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens 9 is above max_tokens 8"),
        ({"top_p": 1.5}, "top_p"),
        ({"tempreature": 1}, "tempreature"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config(**{"model": "someone/blip", **settings})


def test_a_checkpoint_of_a_scorer_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    stage = Config(model=str(tiny_blip_scorer(tmp_path / "s"))).build()
    with pytest.raises(ModelError, match="lacks"), stage.ready():
        pass


def test_a_missing_folder_is_found_before_anything_runs() -> None:
    (said,) = Config(model="./nowhere").check()
    assert "no checkpoint folder" in said


def test_identity_holds_weights_and_settings_but_not_whereabouts_or_speed(
    folder: Path, tmp_path: Path
) -> None:
    identity = _config(folder).identity()
    assert identity["weights"] == folder_digest(folder)
    moved = Path(shutil.copytree(folder, tmp_path / folder.name))
    assert _config(moved, batch_size=2, device="cpu", decode_threads=9).identity() == identity
    assert _config(folder, top_p=0.8).identity() != identity
    assert _config(folder, round=1).identity() != identity
    assert _config(tiny_blip_captioner(tmp_path / "c", seed=5)).identity() != identity
    assert str(folder) not in str(identity)


def test_resources_follow_the_device(folder: Path) -> None:
    auto, cpu = _config(folder).resources, _config(folder, device="cpu").resources
    assert (auto.num_gpus, auto.gpu_optional) == (1.0, True)
    assert (cpu.num_gpus, cpu.gpu_optional) == (0.0, False)
    assert _config(folder, device="cuda", num_gpus=0.25).resources.num_gpus == 0.25
    assert auto.key == cpu.key != Config(model="someone/else").resources.key


def test_calling_before_setup_is_an_error(folder: Path) -> None:
    with pytest.raises(RuntimeError, match=r"stage\.ready"):
        _config(folder).build()(partition_table())
