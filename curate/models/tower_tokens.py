"""What an image tower makes of pictures, computed once for as long as the tower stays as it is.

Shapes: N pictures, C channels, S side of the square, V views, M image tokens, W width of the tower.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curate.core.atomic import write_json
from curate.core.errors import ModelError
from curate.core.kept_arrays import KeptArrays
from curate.models.pair_model import PairModel, normalised

#: Raise it when the same weights and settings come to mean other tokens.
_VERSION = 1
#: Pictures encoded at once: few on a CPU, whose caches a bigger batch outgrows.
_AT_ONCE = {"cpu": 8}


@dataclass(frozen=True)
class Views:
    """How many versions of a picture are encoded: itself, then others drawn by chance.

    Attributes:
        num: versions, the picture itself among them.
        draw: makes another of a picture [1, C, S, S], by a source of chance of its own.
        settings: what decides how they are drawn; JSON values.
    """

    num: int = 1
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def picture_name(body: bytes) -> str:
    """Return the name of a picture: the hash of its encoded bytes."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


class TowerTokens:
    """What an image tower, or its locked part, makes of pictures, by name.

    The views of a picture are drawn by its name alone: they are the same whatever else is encoded.
    Tokens agree to rounding whatever is encoded beside them.
    """

    def __init__(
        self,
        model: PairModel,
        folder: Path | None,
        *,
        dtype: torch.dtype,
        views: Views | None = None,
        unlocked: int | None = None,
        precision: str = "fp32",
        context: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        """Open what was kept by this tower with these settings.

        Args:
            model: in evaluation mode, on its device.
            folder: below it every tower with its settings has a folder of its own; None: memory.
            dtype: in which the tokens are kept.
            views: versions of each picture; itself alone when None.
            unlocked: the tower's last so many blocks, with the head above them, are left out: what
                enters them is kept. None leaves out nothing.
            precision: of the forward pass, for the folder's name.
            context: in which it runs.

        Raises:
            ModelError: blocks are left out of a tower that cannot be parted, or more than it has.
            StoreError: what was kept is damaged.
        """
        if unlocked is not None and not hasattr(model.image_tower, "below"):
            raise ModelError(
                f"'cache: image_tokens' with 'image_unlocked' needs a tower that can be parted, "
                f"EfficientNet-Lite, not {type(model.image_tower).__name__}: take 'cache: pixels'"
            )
        if unlocked is not None and unlocked > len(model.image_tower.blocks):
            raise ModelError(
                f"'image_unlocked: {unlocked}' with a tower of {len(model.image_tower.blocks)} "
                "blocks leaves nothing to keep: take fewer, or 'cache: pixels'"
            )
        self._model, self._dtype, self._context = model, dtype, context
        self._unlocked = unlocked
        self._views = views or Views()
        self._kept = KeptArrays(None)
        if folder is not None:
            made_of = {
                "version": _VERSION,
                "tower": tower_digest(model, unlocked),
                "views": {"num": self._views.num, **self._views.settings},
                "precision": precision,
                "dtype": str(dtype).removeprefix("torch."),
            }
            said = json.dumps(made_of, sort_keys=True).encode()
            own = folder / hashlib.blake2b(said, digest_size=8).hexdigest()
            self._kept = KeptArrays(own / "parts")
            write_json(own / "made_of.json", made_of)

    def __contains__(self, name: str) -> bool:
        """Whether a picture is known, be it as one that does not decode."""
        return name in self._kept

    def has(self, name: str) -> bool:
        """Whether there are tokens of a picture."""
        return self._kept.has(name)

    def views_of(self, names: Sequence[str], views: Sequence[int]) -> Tensor:
        """Return tokens [N, M, W] (or what enters the unlocked blocks) of one view of each."""
        chosen = [self._kept[name][view] for name, view in zip(names, views, strict=True)]
        return torch.from_numpy(np.stack(chosen))

    def of(self, names: Sequence[str], squares_NCSS: Tensor) -> Tensor:
        """Return tokens [N, M, W] of pictures as they are; those that are missing are encoded."""
        missing = {name: row for row, name in enumerate(names) if name not in self._kept}
        if missing:
            self.encode(list(missing), squares_NCSS[list(missing.values())])
        return self.views_of(names, [0] * len(names))

    def encode(
        self, names: Sequence[str], squares_NCSS: Tensor, *, broken: Sequence[str] = ()
    ) -> None:
        """Encode pictures and keep them together: all of them, or none when killed.

        Args:
            names: of the pictures, each once.
            squares_NCSS: uint8 squares.
            broken: names of pictures that do not decode.
        """
        device = self._model.device
        step = _AT_ONCE.get(device.type, 256)
        if not names:
            self._kept.add([], np.empty(0), without=broken)
            return
        made: list[Tensor] = []
        for start in range(0, len(names), step):
            rows = slice(start, start + step)
            for view in range(self._views.num):
                part = self._view(view, names[rows], squares_NCSS[rows]).to(device)
                with torch.no_grad(), self._context():
                    made.append(self._frozen_part(part).to("cpu", self._dtype))
        by_view = [torch.cat(made[view :: self._views.num]) for view in range(self._views.num)]
        self._kept.add(names, torch.stack(by_view, 1).numpy(), without=broken)

    def _frozen_part(self, pixels_NCSS: Tensor) -> Tensor:
        model = self._model
        if self._unlocked is None:
            return model.tower_tokens(pixels_NCSS)
        like = next(model.image_tower.parameters())
        pixels_NCSS = normalised(pixels_NCSS, model.config, like)
        made: Tensor = model.image_tower.below(pixels_NCSS, self._unlocked)
        return made

    def _view(self, view: int, names: Sequence[str], squares_NCSS: Tensor) -> Tensor:
        draw = self._views.draw
        if not view or draw is None:
            return squares_NCSS
        drawn = []
        for name, square_CSS in zip(names, squares_NCSS, strict=True):
            said = hashlib.blake2b(f"{name} {view}".encode(), digest_size=7).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(said, "big"))
            drawn.append(draw(square_CSS[None], generator))
        return torch.cat(drawn)


def tower_digest(model: PairModel, unlocked: int | None = None) -> str:
    """Return a hash of all that decides a tower's tokens: its kind, input and weights.

    Args:
        model: the model.
        unlocked: the tower's last so many blocks, with the head above them, do not count.
    """
    config, tower = model.config, model.image_tower
    names = ("image_tower", "tower_config", "image_size", "image_mean", "image_std")
    said = {name: getattr(config, name, None) for name in names}
    above: tuple[str, ...] = ()
    if unlocked is not None:
        num_blocks = len(tower.blocks)
        said["unlocked"] = unlocked
        above = ("head", *(f"blocks.{num_blocks - 1 - n}." for n in range(unlocked)))
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(said, sort_keys=True).encode())
    for name, tensor in sorted(tower.state_dict().items()):
        if name.startswith(above):
            continue
        plain = tensor.detach().to("cpu").contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
