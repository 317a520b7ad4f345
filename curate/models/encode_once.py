"""One pass of the vision tower per image, however many captions are drawn for it.

``generate`` of transformers wants a row for every caption, pixels and all, and most families run
their tower inside its first step. So the tower is told how many rows repeat an image: it sees the
first of them alone, and what comes out is repeated. Rows of one image stand beside each other.

Shapes: B images, P rows (captions); a tower may have several entries a row (patches, tiles).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class EncodeOnce:
    """Makes modules work once per image; does nothing outside of :meth:`copies`.

    Example:
        >>> tower = nn.Identity()
        >>> once = EncodeOnce(tower)
        >>> with once.copies(images=2, copies=3):
        ...     tower(torch.tensor([5, 5, 5, 7, 7, 7])).tolist()
        [5, 5, 5, 7, 7, 7]
    """

    def __init__(self, *modules: nn.Module) -> None:
        """Watch modules whose inputs and outputs are, for every tensor, rows of a batch."""
        self._images, self._copies = 0, 1
        for module in modules:
            module.register_forward_pre_hook(self._before, with_kwargs=True)
            module.register_forward_hook(self._after)

    @contextlib.contextmanager
    def copies(self, *, images: int, copies: int) -> Iterator[None]:
        """Say that rows come in groups while the block runs.

        Args:
            images: number of distinct images in every call.
            copies: rows that each of them has, beside each other.
        """
        self._images, self._copies = images, copies
        try:
            yield
        finally:
            self._images, self._copies = 0, 1

    def _before(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._copies == 1:
            return None
        return _each(args, self._first), _each(kwargs, self._first)

    def _after(self, module: nn.Module, args: Any, output: Any) -> Any:
        return None if self._copies == 1 else _each(output, self._again)

    def _first(self, rows: Tensor) -> Tensor:
        """Return the rows of an image's first copy."""
        groups = self._images * self._copies
        if rows.ndim == 0 or len(rows) % groups:
            return rows
        return _grouped(rows, groups)[:: self._copies].flatten(0, 1)

    def _again(self, rows: Tensor) -> Tensor:
        return repeat_groups(rows, groups=self._images, copies=self._copies)


def repeat_groups(rows: Tensor, *, groups: int, copies: int) -> Tensor:
    """Repeat each group of neighbouring rows as a whole.

    Args:
        rows: ``groups`` times as many entries as a group has.
        groups: number of groups.
        copies: how often each shall stand in the result.

    Example:
        >>> repeat_groups(torch.tensor([1, 2, 3, 4]), groups=2, copies=2).tolist()
        [1, 2, 1, 2, 3, 4, 3, 4]
    """
    return torch.repeat_interleave(_grouped(rows, groups), copies, 0).flatten(0, 1)


def _grouped(rows: Tensor, groups: int) -> Tensor:
    return rows.reshape(groups, len(rows) // groups, *rows.shape[1:])


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change every tensor inside tuples, lists, mappings and outputs of transformers."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        changed = {key: _each(inner, change) for key, inner in value.items()}
        return changed if type(value) is dict else type(value)(**changed)
    if isinstance(value, (tuple, list)):
        return type(value)(_each(inner, change) for inner in value)
    return value
