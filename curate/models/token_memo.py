"""Image tokens of pictures that were encoded before, for two models with one vision tower.

Captioner and scorer of one checkpoint encode the same pictures. With a memo between them the second
takes what the first has made: one pass of the tower in all.

Shapes: I images, H height, W width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from curate.core.errors import ModelError
from curate.models.base import Pixels

Encode = Callable[[Pixels], Tensor]


class TokenMemo:
    """Remembers the tokens of prepared pictures, by their bytes, until it is cleared.

    Both models must have the same vision weights in the same type: the memo cannot tell. It takes
    as much memory as the tokens of all pictures between two calls of ``clear``, on the device.
    """

    def __init__(self) -> None:
        self._tokens: dict[bytes, Tensor] = {}

    def tokens(self, images_I3HW: Pixels, encode: Encode) -> Tensor:
        """Return the tokens of pictures, [I, ...]; calls ``encode`` for new ones alone.

        Args:
            images_I3HW: prepared pictures.
            encode: makes tokens [N, ...] of N pictures.
        """
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images_I3HW]
        new = self._new(keys)
        if new:
            fresh = encode(images_I3HW[new])
            self._tokens |= {keys[i]: one for i, one in zip(new, fresh, strict=True)}
        return torch.stack([self._tokens[key] for key in keys])

    def clear(self) -> None:
        """Forget everything."""
        self._tokens.clear()

    def _new(self, keys: Sequence[bytes]) -> list[int]:
        first = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._tokens}
        return sorted(first.values())


def share_tokens(first: Any, second: Any, memo: TokenMemo | None) -> TokenMemo:
    """Put one memo between two models.

    Args:
        first: encodes first; its family has ``memo`` (MED).
        second: takes what the first has made.
        memo: the first one's, if it shares already.

    Raises:
        ModelError: they are not of one checkpoint and type, or of a family without a memo.
    """
    for model in (first, second):
        if not hasattr(model, "memo"):
            raise ModelError(f"{model.signature} cannot share its image tokens: its family cannot")
    kinds = [f"{model.signature} in {model.dtype}" for model in (first, second)]
    if kinds[0] != kinds[1]:
        raise ModelError(
            f"image tokens are shared between models of one checkpoint and type, not between "
            f"{kinds[0]} and {kinds[1]}: give both stages the same model and dtype"
        )
    memo = memo or TokenMemo()
    first.memo = second.memo = memo
    return memo
