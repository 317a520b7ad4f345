from __future__ import annotations

import numpy as np
import torch

from curate.models.base import Pixels
from curate.models.token_memo import TokenMemo


def _pictures(*values: int) -> Pixels:
    return np.stack([np.full((3, 2, 2), value, np.uint8) for value in values])


class Encoder:
    def __init__(self) -> None:
        self.saw: list[list[int]] = []

    def __call__(self, images: Pixels) -> torch.Tensor:
        self.saw.append(images[:, 0, 0, 0].tolist())
        return torch.from_numpy(images[:, :1, 0, :].astype(np.float32))


def test_only_new_pictures_are_encoded_and_each_once() -> None:
    memo, encode = TokenMemo(), Encoder()
    first = memo.tokens(_pictures(1, 2, 1), encode)
    again = memo.tokens(_pictures(3, 2), encode)
    assert encode.saw == [[1, 2], [3]]
    assert first[:, 0, 0].tolist() == [1, 2, 1]
    assert again[:, 0, 0].tolist() == [3, 2]
    memo.tokens(_pictures(2, 1), encode)
    assert len(encode.saw) == 2
    memo.clear()
    memo.tokens(_pictures(2), encode)
    assert encode.saw[2:] == [[2]]
