"""Where a step's pictures come from: decoded anew, kept as pixels, or kept as image tokens.

Shapes: B pictures, N pictures of the source, V views, C channels, S side of the square, M image
tokens, W width of the tower.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from curate.core.errors import ModelError, SourceError
from curate.models.pair_model import normalised
from curate.pretrain.augment import augment
from curate.pretrain.config import PretrainConfig
from curate.pretrain.data import PairSource, decode_square
from curate.pretrain.precision import autocast

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.pair_model import PairModel
    from curate.pretrain.batch import TextBatch

_CHUNK = 64
#: Pictures encoded at once: few on a CPU, whose caches a bigger batch outgrows.
_ENCODED_AT_ONCE = {"cpu": 8}
_DECODERS = 4

Tell = Callable[[str, int, int], None]
"""Told of progress: (what, done, of how many)."""


class Images(Protocol):
    """Gives a batch's pictures: ``load`` in a thread beside the model, ``encode`` through it."""

    usable: list[int]
    """Numbers of the pictures that can be decoded, as far as that is known before training."""

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return what ``encode_loaded`` takes, of this worker's that decode, and which did."""
        ...


class DecodedAnew:
    """Decodes the pictures of every step, in threads."""

    def __init__(self, source: PairSource, *, size: int) -> None:
        self.size = size
        self.usable = list(range(len(source)))
        self.pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return squares [B', C, S, S] of this worker's that decode, and which did."""
        import torch

        del generator
        squares = list(self.pool.map(lambda body: decode_square(body, self.size), batch.bodies))
        good = [square for square in squares if square is not None]
        empty = torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack(good) if good else empty, [square is not None for square in squares]


class KeptPixels:
    """Holds every picture as a decoded square in memory."""

    def __init__(self, source: PairSource, *, size: int, tell: Tell) -> None:
        self.pixels_NCSS, self.usable = _decode_all(source, size, tell)
        self.row = {index: row for row, index in enumerate(self.usable)}

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return squares [B, C, S, S]; all of them decode."""
        del generator
        rows = [self.row[index] for index in batch.own_indices]
        return self.pixels_NCSS[rows], [True] * len(rows)


class KeptTokens:
    """Holds what the frozen part of the image tower makes of some views of every picture.

    It is held in half precision. The first view is the whole picture; a step takes any view, with
    equal chance.
    """

    def __init__(
        self, source: PairSource, config: PretrainConfig, model: PairModel, *, tell: Tell
    ) -> None:
        import torch

        pixels, self.usable = _decode_all(source, model.config.image_size, tell)
        self.row = {index: row for row, index in enumerate(self.usable)}
        generator = torch.Generator().manual_seed(config.seed)
        device = model.device
        step = _ENCODED_AT_ONCE.get(device.type, 256)
        views, count = config.data.views, len(pixels)
        #: [V, N, M, W]; with unlocked blocks [V, N, C, H, W], what enters them.
        self.kept = torch.empty(0)
        for view in range(views):
            for start in range(0, count, step):
                part = pixels[start : start + step].to(device)
                part = augment(part, config.augment, generator=generator) if view else part
                with torch.no_grad(), autocast(device, config.precision):
                    made = _frozen_part(model, part, config.optim.image_unlocked)
                if not self.kept.numel():
                    self.kept = torch.empty(views, count, *made.shape[1:], dtype=torch.float16)
                self.kept[view, start : start + step] = made.to("cpu", torch.float16)
                tell("encoding pictures", view * count + start + len(part), views * count)

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return what is held of one view of each [B, ...]; all pictures decode."""
        import torch

        rows = torch.tensor([self.row[index] for index in batch.own_indices], dtype=torch.int64)
        # drawn for the whole batch, so that a picture's view does not hang on who loads it
        view = torch.randint(len(self.kept), (len(batch.indices),), generator=generator)
        return self.kept[view[batch.rows], rows], [True] * len(rows)


def _frozen_part(model: PairModel, pixels_BCSS: Tensor, unlocked: int | None) -> Tensor:
    if unlocked is None:
        return model.tower_tokens(pixels_BCSS)
    tower = model.image_tower
    if not hasattr(tower, "below"):
        raise ModelError(
            f"'cache: image_tokens' with 'image_unlocked' needs a tower that can be parted, "
            f"EfficientNet-Lite, not {type(tower).__name__}: take 'cache: pixels'"
        )
    like = next(tower.parameters())
    made: Tensor = tower.below(normalised(pixels_BCSS, model.config, like), unlocked)
    return made


def encode_loaded(model: PairModel, loaded: Tensor, *, unlocked: int | None = None) -> Tensor:
    """Return image tokens [B, M, D] of what ``Images.load`` gave.

    Args:
        model: the model.
        loaded: squares uint8 [B, C, S, S]; or the tower's tokens [B, M, W]; or, with unlocked
            blocks, what enters them.
        unlocked: blocks of the tower above what is cached; None where the whole tower is below.
    """
    import torch

    if loaded.dtype == torch.uint8:
        return model.encode_images(loaded)
    tower_tokens = loaded.float()
    if unlocked is not None:
        tower_tokens = model.image_tower.above(tower_tokens, unlocked)
    tokens: Tensor = model.image_adapter(tower_tokens)
    return tokens


def open_images(
    source: PairSource, config: PretrainConfig, model: PairModel, *, tell: Tell
) -> Images:
    """Open the kind of cache the recipe asks for; fills it.

    Raises:
        SourceError: no picture can be decoded.
    """
    images: Images
    if config.data.cache == "pixels":
        images = KeptPixels(source, size=model.config.image_size, tell=tell)
    elif config.data.cache == "image_tokens":
        images = KeptTokens(source, config, model, tell=tell)
    else:
        images = DecodedAnew(source, size=model.config.image_size)
    if not images.usable:
        raise SourceError(f"none of the {len(source)} pictures can be decoded")
    return images


def _decode_all(source: PairSource, size: int, tell: Tell) -> tuple[Tensor, list[int]]:
    """Return the squares [N, C, S, S] of the pictures that decode, and their numbers."""
    import torch

    squares: list[Tensor] = []
    usable: list[int] = []
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
        for start in range(0, len(source), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(source)))
            bodies = [pair.image for pair in source.read(indices)]
            decoded = pool.map(lambda body: decode_square(body, size), bodies)
            for index, square in zip(indices, decoded, strict=True):
                if square is not None:
                    squares.append(square)
                    usable.append(index)
            tell("decoding pictures", start + len(indices), len(source))
    return torch.stack(squares) if squares else torch.empty(0, 3, size, size), usable
