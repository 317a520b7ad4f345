from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from curate.core.errors import ModelError, RecipeError, SourceError, StoreError
from curate.core.pairs import ListSource, Pair
from curate.evaluate.config import EvaluateConfig
from curate.evaluate.run import evaluate
from curate.models.med_checkpoint import load_med
from curate.pretrain.metrics import Metrics
from curate.pretrain.trainer import PretrainResult, pretrain
from tests.pretrain.scenes import recipe, scenes


def quiet(line: str) -> None:
    assert line


def train(output: Path, *, pairs: ListSource | None = None, **changes: object) -> PretrainResult:
    return pretrain(recipe(**changes), output, pairs or scenes(4), echo=quiet)


def rows(result: PretrainResult) -> list[dict[str, float]]:
    return [json.loads(line) for line in result.metrics.read_text().splitlines()]


def losses(result: PretrainResult) -> list[float]:
    return [row["loss"] for row in rows(result)]


def weights(result: PretrainResult) -> dict[str, torch.Tensor]:
    return load_med(result.model)[0].state_dict()


def test_a_small_model_learns_what_it_is_shown(tmp_path: Path) -> None:
    result = train(tmp_path / "out", pairs=scenes(12), epochs=30)
    told: list[str] = []
    captions = {"kind": "captioning", "java": "never"}
    everything = EvaluateConfig(evaluators=("retrieval", "matching", captions))  # type: ignore[arg-type]
    found = evaluate(
        result.model,
        everything,
        source=scenes(2, seed=9),
        output=tmp_path / "e.json",
        echo=told.append,
    )
    written = json.loads((tmp_path / "e.json").read_text())
    assert written == json.loads(json.dumps(found.as_json()))
    matching, captioning = written["matching"], written["captioning"]
    assert matching["itc_auc"] > 0.9  # a shuffled text may fit by chance: 1 in 12
    assert matching["itm_auc"] > 0.9
    assert written["retrieval"]["i2t"]["5"] > 0.7
    assert captioning["cider"] > 2  # of 10; wrong colours or shapes cost most of it
    assert captioning["distinct"] > 0.2
    for name, figure in (("itm_auc", matching), ("near_itm_auc", matching), ("cider", captioning)):
        low, high = figure["intervals"][name]
        assert low <= figure[name] <= high
    said = [line.split()[0] for line in told]
    assert said == ["i2t", "t2i", "AUC", "near", "captions", *["left"] * 3, "in"]


def test_the_same_recipe_gives_the_same_model(tmp_path: Path) -> None:
    crop = {"crop_area": (0.5, 1.0)}
    first = train(tmp_path / "a", augment=crop, epochs=2)
    again = train(tmp_path / "b", augment=crop, epochs=2)
    other = train(tmp_path / "c", augment=crop, epochs=2, seed=1)
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)
    for name, weight in weights(first).items():
        assert torch.equal(weights(again)[name], weight)


def test_chance_elsewhere_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(tmp_path / "a")
    assert torch.equal(torch.rand(3), wanted)


def test_what_is_written(tmp_path: Path) -> None:
    result = train(tmp_path / "out", epochs=2, log_every=3)
    assert result.steps == 4
    assert [row["step"] for row in rows(result)] == [3, 4]
    assert rows(result)[-1].keys() >= {"epoch", "lr", "images_per_s", "loss", "itc", "itm", "lm"}
    last = rows(result)[-1]
    assert last["loss"] == pytest.approx(last["itc"] + last["itm"] + last["lm"], abs=1e-5)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("model", "metrics.jsonl", "progress.json", "recipe.yaml", "result.json"),
    }
    assert json.loads((tmp_path / "out" / "result.json").read_text())["steps"] == 4
    assert {path.name for path in result.model.iterdir()} >= {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    }


def test_an_objective_counts_from_its_epoch_on(tmp_path: Path) -> None:
    late = [{"kind": "itc"}, {"kind": "lm", "from_epoch": 1}]
    result = train(tmp_path / "out", objectives=late, epochs=2, log_every=1)
    named = [{"itc", "lm"} & row.keys() for row in rows(result)]
    assert named == [{"itc"}, {"itc"}, {"itc", "lm"}, {"itc", "lm"}]
    assert [row["loss"] == row["itc"] for row in rows(result)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ([{"kind": "itc", "from_epoch": 1}], "no objective counts in the first epoch"),
        (["itc", {"kind": "lm", "from_epoch": 2}], "'lm' would begin after the last of 2 epochs"),
    ],
)
def test_epochs_that_fit_no_objective(objectives: list[object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipe(objectives=objectives, epochs=2)


def test_steps_that_never_come_to_an_objective(tmp_path: Path) -> None:
    late = ["itc", {"kind": "lm", "from_epoch": 1}]
    with pytest.raises(RecipeError, match="'lm' would begin after the last of 1 epochs"):
        train(tmp_path / "out", objectives=late, epochs=None, steps=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"device: cuda, but .* no GPU"):
        train(tmp_path / "out", device="cuda")
    judged = EvaluateConfig(device="cuda", evaluators=["retrieval"])
    with pytest.raises(ModelError, match=r"device: cuda, but .* no GPU"):
        evaluate(Path("curate-tiny"), judged, source=scenes(1))


def test_kept_pixels_change_nothing(tmp_path: Path) -> None:
    crop = {"crop_area": (0.5, 1.0)}
    anew = train(tmp_path / "a", augment=crop)
    kept = train(tmp_path / "b", augment=crop, data={"cache": "pixels"})
    assert losses(anew) == losses(kept)


def test_kept_image_tokens_train_the_rest(tmp_path: Path) -> None:
    frozen = {"lr": 3e-3, "weight_decay": 0.0, "image_lr_scale": 0}
    anew = train(tmp_path / "a", optim=frozen)
    kept = train(tmp_path / "b", optim=frozen, data={"cache": "image_tokens"})
    assert losses(kept) == pytest.approx(losses(anew), abs=0.02)  # kept in half precision
    tower = [name for name in weights(anew) if name.startswith("image_tower.")]
    assert tower
    for name in tower:
        assert torch.equal(weights(anew)[name], weights(kept)[name])


def test_a_tower_that_cannot_be_parted_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"can be parted, .* not VisionTransformer"):
        train(tmp_path / "a", optim={"image_unlocked": 1}, data={"cache": "image_tokens"})


def test_views_show_more_than_the_whole_picture(tmp_path: Path) -> None:
    settings = {"optim": {"image_lr_scale": 0}, "augment": {"crop_area": (0.3, 0.5)}}
    views = train(tmp_path / "a", data={"cache": "image_tokens", "views": 3}, **settings)
    still = {"crop_area": (1, 1), "crop_aspect": (1, 1)}
    whole = train(tmp_path / "b", data={"cache": "image_tokens"}, **settings | {"augment": still})
    assert losses(views) != losses(whole)


@pytest.mark.parametrize("cache", ["none", "pixels"])
def test_pictures_that_do_not_decode_are_dropped_and_counted(tmp_path: Path, cache: str) -> None:
    good = scenes(4).pairs
    pairs = [*good[:10], Pair("broken", b"no picture", ["a red circle"]), *good[10:]]
    result = train(tmp_path / "out", pairs=ListSource(pairs), data={"cache": cache})
    assert (result.pictures, result.dropped) == (48, 1)
    broken = ListSource([Pair(str(n), b"", ["text"]) for n in range(4)])
    if cache == "pixels":
        with pytest.raises(SourceError, match="none of the 4 pictures"):
            train(tmp_path / "none", pairs=broken, data={"cache": cache})


def test_a_captioner_is_fine_tuned_by_lm_alone(tmp_path: Path) -> None:
    first = train(tmp_path / "a")
    tuned = train(tmp_path / "b", start={"from": first.model}, objectives=["lm"])
    before, after = weights(first), weights(tuned)
    assert not torch.equal(before["lm_head.dense.weight"], after["lm_head.dense.weight"])
    for untouched in ("itm_head.weight", "text_projection.weight", "log_logit_scale"):
        assert torch.equal(before[untouched], after[untouched])
    encoder = "text.layers.0.encoder_attention.attention.query.weight"
    decoder = encoder.replace("encoder_attention", "decoder_attention")
    assert torch.equal(before[encoder], after[encoder])
    assert not torch.equal(before[decoder], after[decoder])


def test_half_precision_trains_and_is_saved(tmp_path: Path) -> None:
    full = train(tmp_path / "a")
    half = train(tmp_path / "b", precision="bf16", save_dtype="float16")
    assert losses(half) != losses(full)
    assert losses(half) == pytest.approx(losses(full), rel=0.05)


def test_pairs_must_be_given_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no pairs"):
        pretrain(recipe(), tmp_path / "a")
    tables = {"tables": [{"path": "x.parquet"}]}
    with pytest.raises(RecipeError, match="twice"):
        pretrain(recipe(data=tables), tmp_path / "a", scenes(1))
    with pytest.raises(SourceError, match="no such file"):
        pretrain(recipe(data=tables), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_finished_model_is_not_overwritten(tmp_path: Path) -> None:
    result = train(tmp_path / "out")
    before = (result.model / "model.safetensors").read_bytes()
    with pytest.raises(StoreError, match="is there already"):
        train(tmp_path / "out", seed=2)
    assert (result.model / "model.safetensors").read_bytes() == before


def test_metrics_go_to_tensorboard_too(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(tmp_path / "out", epochs=2, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    events.Reload()
    assert {"loss", "itc", "lm", "lr", "grad_norm", "data_wait"} <= set(events.Tags()["scalars"])
    shown = [(event.step, event.value) for event in events.Scalars("itc")]
    assert [step for step, _ in shown] == [row["step"] for row in rows(result)]
    assert [value for _, value in shown] == pytest.approx([row["itc"] for row in rows(result)])


def test_tensorboard_forgets_what_came_after_the_state(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    about: dict[str, Any] = {"pictures": 4, "epoch": 0, "lr": 0.1, "waited_s": [0.0]}
    path = tmp_path / "metrics.jsonl"
    killed = Metrics(path, every=1, last=9, tensorboard=True)
    killed.add(0, {"loss": torch.tensor(1.0)}, **about)
    state = killed.state_dict()
    killed.add(1, {"loss": torch.tensor(2.0)}, **about)
    killed.add(2, {"loss": torch.tensor(3.0)}, **about)
    killed.close()
    again = Metrics(path, every=1, last=9, tensorboard=True)
    again.load_state_dict(state)
    again.add(1, {"loss": torch.tensor(4.0)}, **about)
    again.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(1, 1.0), (2, 4.0)]


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", every=2, last=9)
    about: dict[str, Any] = {"pictures": 4, "epoch": 0, "lr": 0.1, "waited_s": [0.0]}
    metrics.add(0, {"loss": torch.tensor(1.0)}, **about)
    with pytest.raises(ModelError, match=r"the loss is nan at step 2: lower optim\.lr"):
        metrics.add(1, {"loss": torch.tensor(torch.nan)}, **about)
    metrics.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_rates_after_a_stop_are_of_what_came_after_it(tmp_path: Path) -> None:
    about: dict[str, Any] = {"epoch": 0, "lr": 0.1, "waited_s": [0.0]}
    path = tmp_path / "metrics.jsonl"
    before = Metrics(path, every=2, last=9)
    before.add(0, {"loss": torch.tensor(1.0)}, pictures=10**9, **about)
    state = before.state_dict()
    before.close()
    after = Metrics(path, every=2, last=9)
    after.load_state_dict(state)
    time.sleep(0.01)
    after.add(1, {"loss": torch.tensor(3.0)}, pictures=1, **about)
    after.close()
    row = json.loads(path.read_text())
    assert row["loss"] == 2.0
    assert row["images_per_s"] <= 1 / 0.01


def test_a_metrics_file_that_was_taken_away_begins_anew(tmp_path: Path) -> None:
    about: dict[str, Any] = {"pictures": 4, "epoch": 0, "lr": 0.1, "waited_s": [0.0]}
    path = tmp_path / "metrics.jsonl"
    before = Metrics(path, every=1, last=9)
    before.add(0, {"loss": torch.tensor(1.0)}, **about)
    state = before.state_dict()
    before.close()
    path.unlink()
    after = Metrics(path, every=1, last=9)
    after.load_state_dict(state)
    after.add(1, {"loss": torch.tensor(1.0)}, **about)
    after.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2]


def test_chinese_texts_are_read_by_the_character(tmp_path: Path) -> None:
    names = {"red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色"}
    shapes = {"circle": "圆形", "square": "方形", "bar": "长条"}
    pairs = [
        Pair(uid, image, [f"一个{names[uid.split()[0]]}的{shapes[uid.split()[1]]}"])
        for uid, image, *_ in scenes(4).pairs
    ]
    result = train(tmp_path / "out", pairs=ListSource(pairs), epochs=12, objectives=["itc"])
    _, tokenizer = load_med(result.model)
    assert tokenizer.tokenize("一个红色的圆形") == list("一个红色的圆形")
    assert losses(result)[-1] < losses(result)[0] - 0.5


def test_exports_are_named_in_the_result(tmp_path: Path) -> None:
    from tests.pretrain.models import SETTINGS

    result = train(
        tmp_path / "out",
        architecture="blip",
        start={"vocabulary": 150, "model": SETTINGS["blip"][1]},
        teacher={},
        queue=30,
    )
    names = {"BlipForConditionalGeneration", "BlipForImageTextRetrieval"}
    assert set(result.exports) == names
    assert {path.name for path in (tmp_path / "out" / "transformers").iterdir()} == names
    assert all((folder / "model.safetensors").is_file() for folder in result.exports.values())
    assert set(json.loads((tmp_path / "out" / "result.json").read_text())["exports"]) == names


def test_parts_that_do_not_fit_are_refused_before_anything_is_built() -> None:
    for changes, said in [
        ({"architecture": "dual_encoder"}, "'itm' needs a model that can match"),
        ({"architecture": "dual_encodr"}, "did you mean 'dual_encoder'"),
        ({"objectives": ["moco"]}, "'moco' needs a 'teacher'"),
        ({"objectives": ["moco"], "teacher": {}}, "'moco' needs a 'queue'"),
        ({"objectives": ["lm"], "teacher": {}}, "a teacher has no effect on lm"),
        ({"queue": 9}, "give one"),
        ({"objectives": ["mlm"], "teacher": {}, "queue": 9}, "a queue has no effect on mlm"),
        ({"objectives": ["itc", "itc"]}, "named twice"),
        ({"batch_size": 8, "accumulate": 5}, "a single pair"),
        ({"start": {"vocabulary": 150, "image_size": 64}}, "'from'"),
    ]:
        with pytest.raises(ValidationError, match=said):
            recipe(**changes)
