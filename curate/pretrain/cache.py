"""Where a step's pictures come from: decoded anew, kept as pixels, or kept as image tokens.

Shapes: B pictures, C channels, S side of the square, M image tokens, W width of the tower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from curate.core.errors import SourceError
from curate.pretrain.augment import augment
from curate.pretrain.config import PretrainConfig
from curate.pretrain.data import PairSource, decode_square
from curate.pretrain.precision import autocast, resolved

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from curate.models.pair_model import PairModel
    from curate.pretrain.batch import TextBatch

_CHUNK = 64
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
    equal chance. Pictures are known by their bytes and views drawn by them, so trainings that share
    a ``cache_folder`` and a tower encode each picture once among them, whichever they choose and
    whatever their seed.
    """

    def __init__(
        self, source: PairSource, config: PretrainConfig, model: PairModel, *, tell: Tell
    ) -> None:
        import torch

        from curate.models.tower_tokens import TowerTokens, Views

        self.num_views = config.data.views
        self._size = model.config.image_size
        self._tokens = TowerTokens(
            *(model, config.data.cache_folder),
            dtype=torch.float16,
            views=Views(
                self.num_views,
                lambda square, generator: augment(square, config.augment, generator=generator),
                # one view is the whole picture, whatever the settings
                config.augment.model_dump(mode="json") if self.num_views > 1 else {},
            ),
            unlocked=config.optim.image_unlocked,
            precision=resolved(model.device, config.precision),
            context=lambda: autocast(model.device, config.precision),
        )
        self.names: list[str] = []
        self._fill(source, tell)
        self.usable = [i for i, name in enumerate(self.names) if self._tokens.has(name)]

    def load(self, batch: TextBatch, *, generator: torch.Generator) -> tuple[Tensor, list[bool]]:
        """Return what is held of one view of each [B, ...]; all pictures decode."""
        import torch

        names = [self.names[index] for index in batch.own_indices]
        # drawn for the whole batch, so that a picture's view does not hang on who loads it
        views = torch.randint(self.num_views, (len(batch.indices),), generator=generator)
        if not names:  # another worker loads them all
            some = self.names[self.usable[0]]
            return self._tokens.views_of([some], [0])[:0], []
        return self._tokens.views_of(names, views[batch.rows].tolist()), [True] * len(names)

    def _fill(self, source: PairSource, tell: Tell) -> None:
        """Name every picture, and encode those that are missing, some at a time."""
        from curate.models.tower_tokens import picture_name

        missing: dict[str, bytes] = {}
        encoded = False
        with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
            for start in range(0, len(source), _CHUNK):
                for pair in source.read(range(start, min(start + _CHUNK, len(source)))):
                    self.names.append(name := picture_name(pair.image))
                    if name not in self._tokens:
                        missing[name] = pair.image
                # the same groups after a kill as without one: they agree to the last bit
                while len(missing) >= _CHUNK or (missing and len(self.names) == len(source)):
                    group = {name: missing.pop(name) for name in list(missing)[:_CHUNK]}
                    self._encode(group, pool)
                    encoded = True
                if encoded:
                    tell("encoding pictures", len(self.names), len(source))

    def _encode(self, bodies: Mapping[str, bytes], pool: ThreadPoolExecutor) -> None:
        import torch

        squares = list(pool.map(lambda body: decode_square(body, self._size), bodies.values()))
        pairs = zip(bodies, squares, strict=True)
        good = {name: square for name, square in pairs if square is not None}
        empty = torch.empty(0, 3, self._size, self._size, dtype=torch.uint8)
        stacked = torch.stack(list(good.values())) if good else empty
        broken = [name for name in bodies if name not in good]
        self._tokens.encode(list(good), stacked, broken=broken)


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
