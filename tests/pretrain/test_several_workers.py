"""Several workers teach what one does: the same losses and weights, whatever the objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from curate.core.families import kinds
from curate.core.pairs import ListSource, Pair
from curate.core.workers import WorkersConfig
from curate.pretrain.config import PretrainConfig
from curate.pretrain.trainer import pretrain
from curate.pretrain.world import World
from tests.pretrain.models import SETTINGS, architecture
from tests.pretrain.scenes import recipe, scenes
from tests.pretrain.workers import losses, together

#: Dropout draws otherwise on every worker: it is the one thing that differs, and off here.
_STILL: dict[str, dict[str, Any]] = {
    **{name: {"dropout": 0.0} for name in ("med", "albef", "coca")},
    "blip": {"text_config": {**SETTINGS["blip"][1]["text_config"], "hidden_dropout_prob": 0.0}},
}
_CROPS = {"crop_area": (0.5, 1.0), "rand_augment": 2}
_EVERYTHING: dict[str, Any] = {
    "objectives": [
        *("itc", {"kind": "itm", "swaps": [["red", "green", "blue"], ["circle", "bar"]]}),
        {"kind": "lm", "from_epoch": 1},
    ],
    "teacher": {"momentum": 0.9, "ramp_epochs": 2},
    "queue": 20,
    "augment": _CROPS,
    "accumulate": 2,
    "gradient_checkpointing": True,
}
_TOKENS: dict[str, Any] = {
    "data": {"cache": "image_tokens", "views": 3},
    "optim": {"image_lr_scale": 0, "lr": 1e-3},
    "augment": _CROPS,
}


def pairs() -> ListSource:
    """Return 29 pairs, some of the same picture, two of which do not decode: batches of 8 and 5."""
    made = [*scenes(3).pairs[:29]]
    for broken in (3, 17):
        made[broken] = Pair(f"broken {broken}", b"no picture", made[broken].texts)
    return ListSource(made)


def settings(name: str, **changes: Any) -> PretrainConfig:
    """Return the recipe of a small model without dropout."""
    kind, model = SETTINGS[name]
    start = {"vocabulary": 150, "model": {**model, **_STILL.get(name, {})}}
    made = {"architecture": kind, "start": start, "batch_size": 8, "epochs": 2}
    return recipe(**{**made, "optim": {"lr": 1e-3}, **changes})


def cases() -> dict[str, PretrainConfig]:
    """Return a recipe for every objective, and some for what else depends on a batch's shares."""
    made = {}
    for kind in kinds("objectives").values():
        config = kind.config()
        name = next(name for name in SETTINGS if config.needs <= architecture(name).can)
        taught: dict[str, Any] = {"teacher": {"momentum": 0.9}}
        taught |= {"queue": 12} if config.queue != "ignores" else {}
        if config.teacher != "needs":
            made[kind.name] = settings(name, objectives=[kind.name])
        if config.teacher != "ignores":
            made[f"{kind.name}_taught"] = settings(name, objectives=[kind.name], **taught)
    made["everything"] = settings("med", **_EVERYTHING)
    made["blip"] = settings("blip", **_EVERYTHING)
    made["coca"] = settings("coca", objectives=["itc", "captioning"], augment=_CROPS)
    made["siglip"] = settings("siglip", objectives=["sigmoid"], accumulate=2)
    made["pixels"] = settings("clip", objectives=["itc"], data={"cache": "pixels"}, augment=_CROPS)
    made["tokens"] = settings("med", objectives=["itc", "itm"], **_TOKENS)
    return made


def train_all(world: World, folder: Path, names: list[str], shard: bool = False) -> None:
    """Train every case, as one of some workers."""
    for name in names:
        workers = WorkersConfig(count=world.size, shard=shard)
        made = cases()[name].model_copy(update={"workers": workers})
        pretrain(made, folder / name, pairs(), lambda line: None, world=world)


def assert_same(alone: Path, several: Path, *, steps: int = 8) -> None:
    """Compare losses and gradient norms of every step, and the weights at the end."""
    ours, theirs = losses(alone), losses(several)
    assert len(ours) == steps
    for one, other in zip(ours, theirs, strict=True):
        assert other == pytest.approx(one, abs=1e-5, rel=1e-5)
    first, second = (load_file(f / "model" / "model.safetensors") for f in (alone, several))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        # a key's bias changes no softmax: its gradient is rounding alone, which AdamW makes big
        if not name.endswith(("key.bias", "k_proj.bias", "qkv.bias")):
            torch.testing.assert_close(second[name], weight, atol=1e-4, rtol=1e-4, msg=name)


def test_two_workers_teach_what_one_does(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    train_all(World(), tmp_path / "alone", ["everything"])
    together(2, train_all, tmp_path / "several", ["everything"])
    assert_same(tmp_path / "alone" / "everything", tmp_path / "several" / "everything")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    torch.set_num_threads(1)
    train_all(World(), folder, list(cases()))
    return folder


class After:
    """Asks a training to stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def stop_after(world: World, folder: Path, name: str, steps: int, shard: bool) -> None:
    """Train some steps of a case, as one of some workers."""
    workers = WorkersConfig(count=world.size, shard=shard)
    made = cases()[name].model_copy(update={"workers": workers})
    with pytest.raises(KeyboardInterrupt):
        pretrain(made, folder / name, pairs(), lambda line: None, world=world, asked=After(steps))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["everything", "blip"])
def test_a_training_goes_on_with_any_number_of_workers(
    name: str, alone: Path, tmp_path: Path
) -> None:
    together(2, stop_after, tmp_path, name, 2, True)
    stop_after(World(), tmp_path, name, 1, False)
    together(3, stop_after, tmp_path, name, 2, False)
    together(2, train_all, tmp_path, [name], True)
    assert_same(alone / name, tmp_path / name)


@pytest.fixture(scope="module", params=[2, 3])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three workers of a part of two pairs leave one with none."""
    folder = tmp_path_factory.mktemp("several")
    together(request.param, train_all, folder, list(cases()))
    return folder


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    together(2, train_all, folder, list(cases()), True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", list(cases()))
def test_layers_that_are_shared_out_learn_the_same(name: str, alone: Path, sharded: Path) -> None:
    assert_same(alone / name, sharded / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(cases()))
def test_every_objective_is_the_same_on_several_workers(
    name: str, alone: Path, several: Path
) -> None:
    assert_same(alone / name, several / name)
