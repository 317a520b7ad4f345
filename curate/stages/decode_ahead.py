"""Decoding and preparing pictures in threads, while the model works on the batch before."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.images import ImageFault, decode
from curate.stages.faults import NO_IMAGE, Faults

Pixels = NDArray[np.uint8]


class Decoder:
    """Decodes and prepares pictures in threads, a batch ahead of the model."""

    def __init__(self, prepare: Callable[[Pixels], Pixels], *, threads: int) -> None:
        """Start the threads.

        Args:
            prepare: the model's own preparation of an RGB picture; called in the threads.
            threads: number of them.
        """
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def batches(
        self, images: pa.ChunkedArray, places: Sequence[int], size: int, faults: Faults
    ) -> Iterator[tuple[list[int], Pixels]]:
        """Yield batches of prepared pictures in the order of ``places``.

        Args:
            images: encoded pictures of a partition.
            places: the rows that are wanted.
            size: most pictures in a batch. Which pictures make a batch depends on ``places``
                alone; broken ones are left out of theirs.
            faults: broken pictures are entered here, and those that ``prepare`` raises on.

        Yields:
            Places of a batch and its pictures, uint8 [B, 3, H, W]; batches may be smaller than
            ``size``, never empty.
        """
        starts = range(0, len(places), size)
        groups = iter([places[start : start + size] for start in starts])
        ahead: deque[tuple[Sequence[int], list[Future[Pixels]]]] = deque()

        def begin() -> None:
            for group in itertools.islice(groups, 1):
                waiting = [self._pool.submit(self._one, images, place) for place in group]
                ahead.append((group, waiting))

        begin()
        while ahead:
            begin()
            group, waiting = ahead.popleft()
            good, pixels = [], []
            for place, future in zip(group, waiting, strict=True):
                try:
                    pixels.append(future.result())
                    good.append(place)
                except ImageFault as fault:
                    faults.by_place[place] = fault
                except Exception as error:  # of the model's own preparation
                    faults.blame(place, error)
            if good:
                yield good, np.stack(pixels)

    def _one(self, images: pa.ChunkedArray, place: int) -> Pixels:
        body = images[place].as_py()
        if body is None:
            raise ImageFault(NO_IMAGE, "the row holds no picture")
        return self._prepare(decode(body))
