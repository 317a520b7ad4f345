from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from curate.models.encode_once import EncodeOnce, repeat_groups


class _Tower(nn.Module):
    """Doubles patches; answers as towers of transformers do, with layers and a pooled row."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(
        self, patches: Tensor, *, grid: Tensor | None = None, note: str = ""
    ) -> BaseModelOutputWithPooling:
        self.seen.append(tuple(patches.shape))
        assert grid is None or len(grid) == 2
        twice = patches * 2
        return BaseModelOutputWithPooling(
            last_hidden_state=twice, pooler_output=twice + 1, hidden_states=(patches, twice)
        )


def test_the_tower_sees_an_image_once_and_every_row_gets_its_own() -> None:
    tower = _Tower()
    once = EncodeOnce(tower)
    images = torch.arange(8.0).reshape(4, 2)  # two images, two patches each
    rows = repeat_groups(images, groups=2, copies=3)
    grid = torch.tensor([[1, 2]] * 6)
    with once.copies(images=2, copies=3):
        out = tower(rows, grid=grid, note="kept")
    assert tower.seen == [(4, 2)]
    assert out.last_hidden_state.equal(rows * 2)
    assert out.pooler_output.equal(rows * 2 + 1)
    assert [layer.equal(rows * (n + 1)) for n, layer in enumerate(out.hidden_states)] == [True] * 2


def test_outside_of_a_block_nothing_changes() -> None:
    tower = _Tower()
    once = EncodeOnce(tower)
    rows = torch.arange(6.0).reshape(6, 1)
    with once.copies(images=2, copies=3):
        pass
    assert tower(rows).last_hidden_state.equal(rows * 2)
    with once.copies(images=6, copies=1):
        tower(rows)
    assert tower.seen == [(6, 1), (6, 1)]


def test_a_block_that_fails_leaves_nothing_behind() -> None:
    tower = _Tower()
    once = EncodeOnce(tower)
    with pytest.raises(RuntimeError, match="broken"), once.copies(images=1, copies=2):
        raise RuntimeError("broken")
    tower(torch.ones(2, 1))
    assert tower.seen == [(2, 1)]


def test_groups_are_repeated_as_a_whole() -> None:
    rows = torch.arange(12).reshape(6, 2)
    again = repeat_groups(rows, groups=3, copies=2)
    assert again[:, 0].tolist() == [0, 2, 0, 2, 4, 6, 4, 6, 8, 10, 8, 10]
    assert repeat_groups(rows, groups=3, copies=1).equal(rows)


@dataclass
class _Plain:
    rows: Tensor


def test_what_is_no_tensor_passes_through() -> None:
    class Odd(nn.Module):
        def forward(self, plain: _Plain, scale: float) -> tuple[Tensor, str, None, list[Tensor]]:
            return plain.rows[:2] * scale, "said", None, [plain.rows[:2]]

    odd = Odd()
    once = EncodeOnce(odd)
    with once.copies(images=2, copies=2):
        first, said, nothing, inner = odd(_Plain(torch.tensor([1.0, 2.0, 3.0])), 2.0)
    assert first.tolist() == [2.0, 2.0, 4.0, 4.0]
    assert (said, nothing, inner[0].tolist()) == ("said", None, [1.0, 1.0, 2.0, 2.0])
