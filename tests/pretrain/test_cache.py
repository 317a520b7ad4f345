"""Image tokens that trainings share: encoded once, whatever is chosen and whatever the seed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from curate.core.errors import ModelError, StoreError
from curate.core.pairs import ListSource, Pair
from curate.models.med import MedModel
from curate.models.med_checkpoint import load_med
from curate.pretrain import cache
from curate.pretrain.batch import TextBatch
from curate.pretrain.cache import KeptPixels, KeptTokens, encode_loaded
from curate.pretrain.config import PretrainConfig
from curate.pretrain.optim import build_optimizer
from curate.pretrain.start import start_model
from tests.models.med_models import med_model
from tests.pretrain.scenes import recipe, scenes


def kept(config: PretrainConfig, pairs: ListSource, *, weights: int = 0) -> tuple[KeptTokens, int]:
    """Open the tokens of some pairs; returns them and how many pictures went through the tower."""
    torch.manual_seed(weights)
    model = start_model(config.start, ["a red circle"], config.architecture).model
    model.eval()
    seen = 0

    def counted(module: Any, inputs: Any, outputs: torch.Tensor) -> None:
        nonlocal seen
        seen += len(outputs)

    model.image_tower.register_forward_hook(counted)
    return KeptTokens(pairs, config, model, tell=lambda what, done, total: None), seen


def settings(folder: Path | None, **changes: Any) -> PretrainConfig:
    data = {"cache": "image_tokens", "views": 3, "cache_folder": folder}
    crops = {"crop_area": (0.3, 0.6)}
    return recipe(**{"data": data, "augment": crops, "optim": {"image_lr_scale": 0}, **changes})


def tokens(images: KeptTokens, name: str) -> torch.Tensor:
    return torch.cat([images._tokens.views_of([name], [view]) for view in range(3)])


def test_on_disk_they_are_those_in_memory(tmp_path: Path) -> None:
    pairs = scenes(2)
    memory, _ = kept(settings(None), pairs)
    disk, seen = kept(settings(tmp_path), pairs)
    assert seen == 24 * 3
    for name in disk.names:
        assert torch.equal(tokens(disk, name), tokens(memory, name))
    first, second, third = tokens(disk, disk.names[0])
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_another_selection_and_seed_take_what_is_there(tmp_path: Path) -> None:
    pairs = scenes(3).pairs
    some, seen = kept(settings(tmp_path), ListSource(pairs[:20]))
    assert seen == 20 * 3
    again, seen = kept(settings(tmp_path, seed=7), ListSource(pairs[5:15]))
    assert seen == 0
    more, seen = kept(settings(tmp_path), ListSource(pairs[::-1]))
    assert seen == 16 * 3  # the others alone
    for name in again.names:
        assert torch.equal(tokens(again, name), tokens(some, name))
        assert torch.equal(tokens(more, name), tokens(some, name))
    # a view hangs on its picture and not on what is encoded beside it
    alone, _ = kept(settings(None), ListSource(pairs[7:8]))
    torch.testing.assert_close(
        tokens(alone, alone.names[0]), tokens(some, alone.names[0]), atol=2e-3, rtol=1e-2
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": {"crop_area": (0.4, 0.6)}},
        {"precision": "bf16"},
        {"data": {"cache": "image_tokens", "views": 2}},
    ],
)
def test_other_settings_take_nothing_of_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    pairs = scenes(1)
    kept(settings(tmp_path), pairs)
    if "data" in changes:
        changes = {"data": {**changes["data"], "cache_folder": tmp_path}}
    _, seen = kept(settings(tmp_path, **changes), pairs)
    assert seen == 12 * (2 if "data" in changes else 3)
    assert len(list(tmp_path.iterdir())) == 2


def test_other_weights_take_nothing_of_it(tmp_path: Path) -> None:
    pairs = scenes(1)
    kept(settings(tmp_path), pairs)
    _, seen = kept(settings(tmp_path), pairs, weights=1)
    assert seen == 36
    _, seen = kept(settings(tmp_path), pairs)
    assert seen == 0


def test_the_same_picture_twice_is_encoded_once(tmp_path: Path) -> None:
    pairs = scenes(1).pairs
    images, seen = kept(settings(tmp_path), ListSource([*pairs, *pairs]))
    assert seen == 36
    assert images.usable == list(range(24))


def test_pictures_that_do_not_decode_are_known_as_such(tmp_path: Path) -> None:
    pairs = [Pair("broken", b"no picture", ["a red circle"]), *scenes(1).pairs]
    for expected in (36, 0):
        images, seen = kept(settings(tmp_path), ListSource(pairs))
        assert seen == expected
        assert images.usable == list(range(1, 13))


_KILLED = """
import sys
from pathlib import Path
from curate.pretrain import cache
from tests.pretrain.scenes import scenes
from tests.pretrain.test_cache import kept, settings
cache._CHUNK = 8
kept(settings(Path(sys.argv[1])), scenes(2))
"""


def test_killed_it_goes_on_and_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_CHUNK", 8)
    whole, _ = kept(settings(tmp_path / "whole"), scenes(2))
    point = {"CURATE_FAILPOINT": "file.flushed@parts:3"}  # the arrays of the second part
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "cut")]
    killed = subprocess.run(command, env={**os.environ, **point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    rest, seen = kept(settings(tmp_path / "cut"), scenes(2))
    assert seen == 16 * 3
    for name in whole.names:
        assert torch.equal(tokens(whole, name), tokens(rest, name))


def test_a_damaged_part_says_what_to_remove(tmp_path: Path) -> None:
    kept(settings(tmp_path), scenes(1))
    (part,) = tmp_path.rglob("parts/*.npy")
    part.write_bytes(b"")
    images, seen = kept(settings(tmp_path), scenes(1))
    assert seen == 0
    with pytest.raises(StoreError, match=r"is damaged .* remove .*parts"):
        tokens(images, images.names[0])


def test_what_was_made_of_what_is_written_beside(tmp_path: Path) -> None:
    kept(settings(tmp_path), scenes(1))
    (said,) = (json.loads(path.read_text()) for path in tmp_path.glob("*/made_of.json"))
    assert said["precision"] == "fp32"
    assert said["views"]["num"] == 3
    assert said["views"]["crop_area"] == [0.3, 0.6]


def test_a_folder_without_tokens_to_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cache_folder has an effect with"):
        settings(None, data={"cache": "pixels", "cache_folder": tmp_path})


def trained_tower() -> MedModel:
    """Return a small model with a real tower, which takes pictures of 32 pixels as well."""
    model = med_model(tower="efficientnet_lite")
    tower = load_med(Path("curate-tiny"))[0].image_tower
    model.image_tower.load_state_dict(tower.state_dict())
    return model


@pytest.mark.parametrize("unlocked", [None, 1, 2])
def test_what_is_kept_gives_the_image_tokens(unlocked: int | None) -> None:
    model, source = trained_tower(), scenes(1)
    optim: dict[str, Any] = {"image_unlocked": unlocked} if unlocked else {"image_lr_scale": 0}
    made = recipe(optim=optim, data={"cache": "image_tokens"}, precision="fp32")
    optimizer = build_optimizer(model, made.optim)
    kept = KeptTokens(source, made, model, tell=lambda *_: None)
    bodies = [pair.image for pair in source.read(range(12))]
    nothing = torch.empty(0, dtype=torch.int64)
    bodies = [bodies[n] for n in (3, 0, 7)]
    batch = TextBatch([3, 0, 7], nothing, nothing, nothing, [0, 1, 2], bodies)
    loaded, good = kept.load(batch, generator=torch.Generator())
    assert good == [True] * 3
    assert loaded.dtype == torch.float16
    tokens = encode_loaded(model, loaded, unlocked=unlocked)
    squares = KeptPixels(source, size=32, tell=lambda *_: None).load(
        batch, generator=torch.Generator()
    )[0]
    torch.testing.assert_close(tokens, model.encode_images(squares), atol=0.02, rtol=0.02)

    before = {name: weight.clone() for name, weight in model.image_tower.named_parameters()}
    tokens.square().mean().backward()
    optimizer.step()
    after = dict(model.image_tower.named_parameters())
    moved = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    top = tuple(f"blocks.{16 - 1 - n}." for n in range(unlocked or 0))
    wanted = {name for name in before if name.startswith((*top, "head"))} if unlocked else set()
    assert moved == wanted


def test_a_tower_without_so_many_blocks_is_refused() -> None:
    optim = {"image_unlocked": 17}
    made = recipe(optim=optim, data={"cache": "image_tokens"}, precision="fp32")
    with pytest.raises(ModelError, match="a tower of 16 blocks"):
        KeptTokens(scenes(1), made, trained_tower(), tell=lambda *_: None)


def test_a_worker_loads_its_own_pictures_as_one_alone_would(tmp_path: Path) -> None:
    images, _ = kept(settings(tmp_path), scenes(1))
    nothing = torch.empty(0, dtype=torch.int64)

    def loaded(rows: list[int]) -> torch.Tensor:
        batch = TextBatch([3, 0, 7], nothing, nothing, nothing, rows, [b""] * len(rows))
        found, good = images.load(batch, generator=torch.Generator().manual_seed(3))
        assert good == [True] * len(rows)
        return found

    alone = loaded([0, 1, 2])
    assert torch.equal(alone, torch.cat([loaded([0, 2]), loaded([1])])[[0, 2, 1]])
    assert loaded([]).shape == (0, *alone.shape[1:])


def test_below_unlocked_blocks_what_is_above_does_not_count(tmp_path: Path) -> None:
    data = {"cache": "image_tokens", "cache_folder": tmp_path}
    whole = {"crop_area": (1, 1), "crop_aspect": (1, 1)}
    seen = []
    for number, change in enumerate(("", "head.weight", "blocks.15.", "blocks.14.", "stem.weight")):
        model = trained_tower().eval()
        with torch.no_grad():
            for name, weight in model.image_tower.named_parameters():
                if change and name.startswith(change):
                    weight.mul_(0.5)
        made = recipe(optim={"image_unlocked": 1}, data=data, augment=whole, seed=number)
        KeptTokens(scenes(1), made, model, tell=lambda *_: None)
        seen.append(len([path for path in tmp_path.iterdir() if path.is_dir()]))
    assert seen == [1, 1, 1, 2, 3]
