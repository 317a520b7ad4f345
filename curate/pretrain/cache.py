"""Where a step's pictures come from: decoded anew, kept as pixels, or kept as image tokens.

Shapes: B pictures, C channels, S side of the square, M image tokens, W width of the tower.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from curate.core.errors import SourceError
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
        """Return what ``encode_loaded`` takes, of those that decode, and which of the B did."""
        ...


class DecodedAnew:
    """Decodes the pictures of every step, in threads."""

    def __init__(self, source: PairSource, *, size: int) -> None:
        self.size = size
        self.usable = list(range(len(source)))
        self.pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return squares [B', C, S, S] of those that decode, and which of the B did."""
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
        rows = [self.row[index] for index in batch.indices]
        return self.pixels_NCSS[rows], [True] * len(rows)


class KeptTokens:
    """Holds the image tower's output, in half precision, for some views of every picture.

    The first view is the whole picture; a step takes any view, with equal chance.
    """

    def __init__(
        self, source: PairSource, config: PretrainConfig, model: PairModel, *, tell: Tell
    ) -> None:
        import torch

        pixels, self.usable = _decode_all(source, model.config.image_size, tell)
        self.row = {index: row for row, index in enumerate(self.usable)}
        generator = torch.Generator().manual_seed(config.seed)
        device = model.device
        tower = model.image_tower
        step = _ENCODED_AT_ONCE.get(device.type, 256)
        shape = (config.data.views, len(pixels), tower.num_tokens, tower.width)
        self.kept_VNMW = torch.empty(shape, dtype=torch.float16)
        for view in range(config.data.views):
            for start in range(0, len(pixels), step):
                part = pixels[start : start + step].to(device)
                part = augment(part, config.augment, generator=generator) if view else part
                with torch.no_grad(), autocast(device, config.precision):
                    tokens = model.tower_tokens(part)
                self.kept_VNMW[view, start : start + step] = tokens.to("cpu", torch.float16)
                tell(
                    "encoding pictures", view * len(pixels) + start + len(part), shape[0] * shape[1]
                )

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return the tower's tokens [B, M, W]; all pictures decode."""
        import torch

        rows = torch.tensor([self.row[index] for index in batch.indices])
        view = torch.randint(len(self.kept_VNMW), (len(rows),), generator=generator)
        return self.kept_VNMW[view, rows], [True] * len(rows)


def encode_loaded(model: PairModel, loaded: Tensor) -> Tensor:
    """Return image tokens [B, M, D] of squares [B, C, S, S], or of the tower's tokens [B, M, W]."""
    import torch

    if loaded.dtype == torch.uint8:
        return model.encode_images(loaded)
    tokens: Tensor = model.image_adapter(loaded.float())
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
