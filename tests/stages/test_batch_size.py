from __future__ import annotations

import pytest
from pydantic import ValidationError

from curate.stages.batch_size import LARGEST, largest_batch
from curate.stages.captioners.med import Config


class Device:
    """Memory in use is ``weights`` and so much a picture, as shares of all there is."""

    def __init__(self, weights: float, picture: float) -> None:
        self.tried: list[int] = []
        self._weights, self._picture = weights, picture

    def __call__(self, size: int) -> float | None:
        self.tried.append(size)
        taken = self._weights + size * self._picture
        return taken if taken <= 1 else None


@pytest.mark.parametrize(
    ("weights", "picture", "size"),
    [
        (0.1, 0.01, 64),  # 0.1 + 64 x 0.01 = 0.74
        (0.1, 0.7 / 64 + 1e-9, 32),
        (0.0, 0.8, 1),
        (0.5, 0.001, 256),
        (0.9, 0.0, 1),
        (0.99, 0.1, 1),
        (0.1, 0.4, 1),
        (0.1, 0.3, 2),
        (0.0, 0.0, LARGEST),
    ],
)
def test_the_largest_power_of_two_below_four_fifths(
    weights: float, picture: float, size: int
) -> None:
    device = Device(weights, picture)
    assert largest_batch(device) == size


def test_memory_is_not_run_out_of_on_purpose() -> None:
    device = Device(0.2, 0.02)
    assert largest_batch(device) == 16
    assert device.tried == [1, 2, 4, 8, 16], "32 would take 0.84 and is not tried"


def test_memory_that_grows_faster_than_a_line_is_noticed() -> None:
    def used(size: int) -> float | None:
        return 0.01 * size * size if size <= 10 else None

    assert largest_batch(used) == 8


@pytest.mark.parametrize("size", [1, 32, 4096, "auto"])
def test_sizes_that_can_be_given(size: object) -> None:
    assert Config(**{"batch_size": size}).batch_size == size


@pytest.mark.parametrize("size", [0, -1, 4097, "many", 2.5, None, True])
def test_other_sizes_are_refused_in_one_sentence(size: object) -> None:
    with pytest.raises(ValidationError) as said:
        Config(**{"batch_size": size})
    (problem,) = said.value.errors()
    assert problem["loc"] == ("batch_size",)
    assert problem["msg"].endswith(f"should be auto or a number from 1 to 4096, got {size!r}")
