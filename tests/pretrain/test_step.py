"""One step: parts, teacher, queues, precision, and activations computed twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from curate.models.pair_model import PairModel
from curate.pretrain.config import PretrainConfig
from curate.pretrain.course import Course, Step
from curate.pretrain.optim import build_optimizer
from curate.pretrain.queues import Queues
from curate.pretrain.recompute import recompute_activations
from curate.pretrain.sections import TeacherConfig
from curate.pretrain.step import Stepper
from curate.pretrain.teacher import Teacher
from tests.models.med_models import med_tokenizer, pixels
from tests.pretrain.models import SETTINGS, small_model
from tests.pretrain.scenes import scenes


def recipe(name: str = "med", **changes: Any) -> PretrainConfig:
    settings: dict[str, Any] = {
        **{"name": "x", "architecture": SETTINGS[name][0], "start": {"vocabulary": 150}},
        **{"augment": {"crop_area": (1, 1), "crop_aspect": (1, 1)}, "device": "cpu"},
        **{"epochs": 2, "batch_size": 8, "objectives": ["lm"], "optim": {"warmup": 0}},
    }
    return PretrainConfig(**{**settings, **changes})


def first_step(made: PretrainConfig) -> Step:
    source = scenes(1)
    usable = list(range(len(source)))
    return next(Course(made, source, usable, med_tokenizer(), max_tokens=20).from_step(0))


def stepped(made: PretrainConfig, name: str = "med", *, model: PairModel | None = None) -> Any:
    """Take one step on random pictures; returns the stepper and what it said."""
    model = model or small_model(name)
    stepper = Stepper(made, model, build_optimizer(model, made.optim))
    if made.gradient_checkpointing:
        assert recompute_activations(model)
    losses = stepper.take(first_step(made), pixels(8), [True] * 8)
    return stepper, losses


def gradients(stepper: Stepper) -> dict[str, torch.Tensor]:
    named = stepper.model.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def assert_same_gradients(ours: Stepper, theirs: Stepper) -> None:
    first, second = gradients(ours), gradients(theirs)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("objective", ["lm", "captioning", "mlm", "prefix_lm"])
@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_teaches_what_the_whole_one_does(objective: str, parts: int) -> None:
    whole, said = stepped(recipe(objectives=[objective]))
    cut, told = stepped(recipe(objectives=[objective], accumulate=parts))
    assert_same_gradients(whole, cut)
    torch.testing.assert_close(said["loss"], told["loss"])
    torch.testing.assert_close(said["grad_norm"], told["grad_norm"])


def test_itc_in_parts_has_fewer_negatives_and_so_is_another_loss() -> None:
    _, whole = stepped(recipe(objectives=["itc"]))
    _, cut = stepped(recipe(objectives=["itc"], accumulate=4))
    assert cut["itc"] < whole["itc"] - 0.3


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_activations_computed_twice_teach_the_same(name: str) -> None:
    objectives = {"med": ["itc", "itm", "lm"], "albef": ["itc", "itm", "mlm"]}
    objectives |= {"coca": ["itc", "captioning"], "blip": ["itc", "itm", "lm"]}
    chosen = objectives.get(name, ["itc"])
    kept, said = stepped(recipe(name, objectives=chosen), name)
    anew, told = stepped(recipe(name, objectives=chosen, gradient_checkpointing=True), name)
    assert_same_gradients(kept, anew)
    torch.testing.assert_close(said["loss"], told["loss"])


def test_every_layer_computes_twice() -> None:
    model = small_model("med")
    assert recompute_activations(model) == 3  # one of the ViT, two of the text
    calls = []
    model.text.layers[0].encoder_attention.attention.query.register_forward_hook(  # type: ignore[attr-defined]
        lambda *_: calls.append(1)
    )
    _, losses = stepped(recipe(), model=model)
    assert losses["loss"] > 0
    model = small_model("med")
    recompute_activations(model)
    model.text.layers[0].decoder_attention.attention.query.register_forward_hook(  # type: ignore[attr-defined]
        lambda *_: calls.append(1)
    )
    stepped(recipe(), model=model)
    assert len(calls) == 2  # forwards, and again on the way back


def test_the_teacher_is_the_running_mean() -> None:
    made = recipe(objectives=["itc"], teacher={"momentum": 0.9})
    model = small_model("med")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    stepper, _ = stepped(made, model=model)
    assert stepper.teacher is not None
    for name, taught in stepper.teacher.model.named_parameters():
        now = dict(model.named_parameters())[name]
        torch.testing.assert_close(taught, 0.9 * before[name] + 0.1 * now)
        assert not taught.requires_grad
    assert any(not torch.equal(before[n], p) for n, p in model.named_parameters())


def test_the_teacher_shares_what_is_frozen_and_ramps_up() -> None:
    model = small_model("med")
    for parameter in model.image_tower.parameters():
        parameter.requires_grad_(False)
    teacher = Teacher(model, TeacherConfig(alpha=0.4, ramp_epochs=2))
    ours = dict(model.named_parameters())
    for name, parameter in teacher.model.named_parameters():
        assert (parameter is ours[name]) == name.startswith("image_tower.")
    assert [teacher.alpha(done) for done in (0, 1, 2, 5)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert Teacher(model, TeacherConfig(ramp_epochs=0)).alpha(0) == 0.4


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_queue_takes_the_teacher_s_view_of_the_batch(accumulate: int) -> None:
    made = recipe(objectives=["moco"], teacher={}, queue=12, accumulate=accumulate)
    model = small_model("med")
    step = first_step(made)
    with torch.no_grad():
        images = model.project_images(model.encode_images(pixels(8)))
        texts = model.encode_texts(step.batch.ids_BL, step.batch.mask_BL)
    stepper, losses = stepped(made, model=model)
    assert losses["moco"] == 0  # not full yet
    queues = stepper.queues
    assert queues is not None
    torch.testing.assert_close(queues.image_embeds(images), images)
    torch.testing.assert_close(queues.text_embeds(texts), texts)
    assert torch.equal(queues.image_ids, step.batch.image_ids_B)
    assert stepper.take(step, pixels(8, seed=1), [True] * 8)["moco"] == 0
    assert len(queues) == 12
    assert stepper.take(step, pixels(8, seed=2), [True] * 8)["moco"] > 0


def test_a_queue_is_a_ring() -> None:
    queues = Queues(5, torch.device("cpu"))
    for number in range(0, 9, 3):
        ids = torch.arange(number, number + 3)
        queues.add(ids[:, None] * 1.0, ids[:, None] * 2.0, ids)
        kept = set(range(max(0, number + 3 - 5), number + 3))
        assert set(queues.image_ids.tolist()) == kept
        assert torch.equal(queues.image_embeds(ids)[:, 0].long(), queues.image_ids)
        assert torch.equal(queues.text_embeds(ids)[:, 0].long(), 2 * queues.image_ids)
    queues.add(*(torch.arange(20.0)[:, None],) * 2, torch.arange(20))
    assert sorted(queues.image_ids.tolist()) == [15, 16, 17, 18, 19]


def test_pictures_that_do_not_decode_leave_the_batch() -> None:
    made = recipe(objectives=["itc", "lm"])
    model = small_model("med")
    stepper = Stepper(made, model, build_optimizer(model, made.optim))
    kept = [True, False, True, True, False, True, True, True]
    assert stepper.take(first_step(made), pixels(6), kept)["loss"] > 0
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert stepper.take(first_step(made), pixels(1), [True] + [False] * 7) == {}
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_full(precision: str) -> None:
    _, full = stepped(recipe(objectives=["itc", "lm"], precision="fp32"))
    stepper, half = stepped(recipe(objectives=["itc", "lm"], precision=precision))
    assert half["loss"] == pytest.approx(full["loss"].item(), rel=0.03)
    assert half["loss"] != full["loss"]
    assert (stepper.scaler is not None) == (precision == "fp16")
    taken = [half]
    while "grad_norm" not in taken[-1]:  # the scale is halved until nothing overflows
        assert taken[-1]["loss"] == half["loss"], "a step that overflows changes nothing"
        taken.append(stepper.take(first_step(stepper.recipe), pixels(8), [True] * 8))
    assert len(taken) < 15
    norm = full["grad_norm"].item()
    assert taken[-1]["grad_norm"].item() == pytest.approx(norm, rel=0.1)  # unscaled again


def test_gradients_are_clipped() -> None:
    optim = {"warmup": 0, "clip": 0.01}
    stepper, losses = stepped(recipe(optim=optim))
    norm = torch.stack([g.norm() for g in gradients(stepper).values()]).norm()
    assert losses["grad_norm"] > 0.1
    assert norm == pytest.approx(0.01, rel=1e-3)
