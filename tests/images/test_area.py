from __future__ import annotations

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.images import area
from tests.images.pictures import scene

compiled = pytest.mark.skipif(not area.COMPILED, reason="installed without the compiled loop")


@st.composite
def shrinkings(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """A width, a height, both shrunk, and a seed."""
    width, height = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    return width, height, draw(st.integers(1, width)), draw(st.integers(1, height)), draw(_SEEDS)


_SEEDS = st.integers(0, 2**32 - 1)


@compiled
@settings(max_examples=300, deadline=None)
@given(case=shrinkings())
def test_equals_opencv_to_the_last_pixel(case: tuple[int, int, int, int, int]) -> None:
    width, height, columns, rows, seed = case
    rng = np.random.default_rng(seed)
    # Black and white alone puts many means on the edge between two levels.
    levels = rng.integers(0, 2, (height, width, 3)) * 255 if seed % 2 else None
    noise = rng.integers(0, 256, (height, width, 3)) if levels is None else levels
    pixels = noise.astype(np.uint8)
    expected = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.array_equal(area.shrink(pixels, columns, rows), expected)


@pytest.mark.parametrize("width", [800, 1024, 1600, 4000])
@pytest.mark.parametrize("size", [256, 384])
def test_sizes_of_the_web_equal_opencv(width: int, size: int) -> None:
    pixels = scene(width, width=width, height=width * 3 // 4 - 1)
    expected = cv2.resize(pixels, (size * 4 // 3, size), interpolation=cv2.INTER_AREA)
    assert np.array_equal(area.shrink(pixels, size * 4 // 3, size), expected)


@compiled
def test_rows_that_do_not_lie_side_by_side_are_read_right() -> None:
    pixels = scene(1, width=100, height=90)[3:80, 5:95]
    expected = cv2.resize(pixels.copy(), (33, 31), interpolation=cv2.INTER_AREA)
    assert np.array_equal(area.shrink(pixels, 33, 31), expected)


@pytest.mark.parametrize(("columns", "rows"), [(200, 30), (40, 150), (50, 45), (100, 90)])
def test_growth_and_whole_numbers_equal_opencv(columns: int, rows: int) -> None:
    pixels = scene(2, width=100, height=90)
    expected = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.array_equal(area.shrink(pixels, columns, rows), expected)


@compiled
def test_the_compiled_loop_refuses_sizes_that_do_not_fit() -> None:
    from curate.images import _area

    pixels, target = bytes(4 * 5 * 3), bytearray(2 * 3 * 3)
    _area.shrink(pixels, 4, 5, target, 2, 3)
    for height, width, rows, columns in (
        *((4, 6, 2, 3), (4, 5, 2, 4), (0, 5, 2, 3), (-4, -5, 2, 3), (4, 5, -2, -3)),
        *((2**62, 2**62, 2, 3), (4, 5, 0, 3)),
    ):
        with pytest.raises(ValueError, match="are not RGB pictures"):
            _area.shrink(pixels, height, width, target, rows, columns)
    with pytest.raises(ValueError, match="do not shrink"):
        _area.shrink(bytes(2 * 3 * 3), 2, 3, bytearray(4 * 5 * 3), 4, 5)


@compiled
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own count")
def test_the_compiled_loop_keeps_no_memory() -> None:
    pixels = scene(3, width=400, height=300)

    def held_after(calls: int) -> float:
        for _ in range(calls):
            area.shrink(pixels, 341, 256)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    before = held_after(20)
    assert held_after(1000) - before < 8, "a table forgotten at each call would be 16 MiB or more"
