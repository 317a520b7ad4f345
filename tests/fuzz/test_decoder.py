"""Whatever the bytes, the decoder gives a picture or an ``ImageFault``, soon."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.images import ImageFault, prepare
from tests.farm import picture_rows
from tests.fuzz.mutate import COUNT, damaged

SEEDS = [
    step
    for row in (*picture_rows.PICTURES, *picture_rows.NO_PICTURES)
    if row.page is not None and row.name not in ("text-bomb",)
    for step in [next(iter(row.page(0)))]
    if isinstance(step, bytes)
]
BODIES = [seed.partition(b"\r\n\r\n")[2] for seed in SEEDS]


def check(body: bytes) -> bool:
    """Decode; returns whether there was a picture."""
    begun = time.process_time()
    try:
        made = prepare(body, size=24, mode="border", max_pixels=1_000_000, encode_format="png")
    except ImageFault as fault:
        assert fault.reason.isidentifier() and fault.detail, body
        return False
    finally:
        assert time.process_time() - begun < 10, body
    assert (made.width, made.height) == (24, 24)
    return True


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes(body: bytes) -> None:
    check(body)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_pictures(seed: int) -> None:
    pictures = sum(check(body) for body in damaged(BODIES, 400, seed=seed))
    assert 0 < pictures < 400, "damage of both kinds: some is survived"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_damaged_pictures() -> None:
    for body in damaged(BODIES, COUNT, seed=2026):
        check(body)
