from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from curate.models.efficientnet_lite import (
    EfficientNetLite,
    FixedBatchNorm,
    SameConv,
    from_imagenet_names,
)


def test_parameters_are_those_of_lite0_without_its_classifier() -> None:
    tower = EfficientNetLite(224)
    # 4,652,008 with the classifier of 1,280 x 1,000 weights and 1,000 biases
    assert sum(p.numel() for p in tower.parameters()) == 4_652_008 - 1_281_000
    assert tower.num_tokens == 50


def test_stride_two_pads_below_and_right() -> None:
    conv = SameConv(1, 1, 3, stride=2)
    torch.nn.init.ones_(conv.weight)
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    reference = F.conv2d(F.pad(picture, (0, 1, 0, 1)), conv.weight, stride=2)
    assert torch.equal(conv(picture), reference)
    assert conv(picture)[0, 0, 0, 0] == 0 + 1 + 2 + 4 + 5 + 6 + 8 + 9 + 10


def test_norms_keep_their_statistics_in_training() -> None:
    norm = FixedBatchNorm(2).train()
    torch.nn.init.constant_(norm.running_mean, 3.0)
    x = torch.randn(4, 2, 5, 5)
    torch.testing.assert_close(norm(x), (x - 3) / (1 + 1e-3) ** 0.5)
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [3.0, 3.0]


def test_the_first_token_is_the_mean_of_the_others_and_pictures_are_apart() -> None:
    torch.manual_seed(0)
    tower = EfficientNetLite(64)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = tower(pictures)
        alone = tower(pictures[1:])
    assert tokens.shape == (2, 5, 1280)
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(1))
    torch.testing.assert_close(alone[0], tokens[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_blocks", [0, 1, 5, 16])
def test_the_parts_make_the_whole(num_blocks: int) -> None:
    torch.manual_seed(0)
    tower = EfficientNetLite(64)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole = tower(pictures)
        entering = tower.below(pictures, num_blocks)
        assert torch.equal(tower.above(entering, num_blocks), whole)
    channels = {0: 320, 1: 192, 5: 112, 16: 32}
    assert entering.shape[1] == channels[num_blocks]


def test_published_names_are_translated_one_to_one() -> None:
    tower = EfficientNetLite(32)
    ours = tower.state_dict()
    published = {_published_name(name): value for name, value in ours.items()}
    published["_fc.weight"] = torch.zeros(1000, 1280)
    translated = from_imagenet_names(published)
    assert translated.keys() == ours.keys()
    assert all(translated[name] is value for name, value in ours.items())


def _published_name(ours: str) -> str:
    """Invert the translation, written from the published names by hand."""
    layer, _, rest = ours.rpartition(".")
    if not ours.startswith("blocks."):
        top = {"stem": "_conv_stem", "stem_norm": "_bn0", "head": "_conv_head", "head_norm": "_bn1"}
        return f"{top[layer]}.{rest}"
    _, number, part = layer.split(".")
    inner = {
        **{"expand": "_expand_conv", "expand_norm": "_bn0", "depthwise": "_depthwise_conv"},
        **{"depthwise_norm": "_bn1", "project": "_project_conv", "project_norm": "_bn2"},
    }
    return f"_blocks.{number}.{inner[part]}.{rest}"


def test_a_size_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        EfficientNetLite(100)
