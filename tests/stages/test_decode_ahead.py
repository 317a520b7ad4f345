from __future__ import annotations

import threading
import time

import numpy as np
import pyarrow as pa

from curate.stages.decode_ahead import Decoder, Pixels
from curate.stages.faults import Faults
from tests.stages.partition_tables import TEXTS, partition_table


def _corner(image: Pixels) -> Pixels:
    return image[:8, :8].transpose(2, 0, 1).copy()


def test_batches_keep_the_order_asked_for_and_leave_broken_pictures_out() -> None:
    images, faults = partition_table(broken=[2])["image"], Faults()
    decoder = Decoder(_corner, threads=3)
    batches = list(decoder.batches(images, [5, 2, 0, 3, 4], 2, faults))
    decoder.close()
    assert [places for places, _ in batches] == [[5], [0, 3], [4]]
    whole = Decoder(_corner, threads=1)
    for places, pixels in batches:
        for place, picture in zip(places, pixels, strict=True):
            ((_, alone),) = whole.batches(images, [place], 1, Faults())
            np.testing.assert_array_equal(picture, alone[0])
    whole.close()
    assert faults.by_place[2].reason == "truncated_image"


def test_a_batch_of_broken_pictures_alone_is_no_batch() -> None:
    images, faults = partition_table(broken=[0, 1])["image"], Faults()
    decoder = Decoder(_corner, threads=1)
    assert [places for places, _ in decoder.batches(images, [0, 1, 2], 2, faults)] == [[2]]
    decoder.close()
    reasons, details = faults.columns(len(TEXTS))
    assert reasons.to_pylist() == ["truncated_image"] * 2 + [None] * 4
    assert details.null_count == 4


def test_the_next_batch_is_decoded_while_this_one_is_worked_on() -> None:
    decoded, lock = [0], threading.Lock()

    def counting(image: Pixels) -> Pixels:
        with lock:
            decoded[0] += 1
        return _corner(image)

    decoder = Decoder(counting, threads=1)
    batches = decoder.batches(partition_table()["image"], range(6), 2, Faults())
    next(batches)
    deadline = time.monotonic() + 10
    while decoded[0] < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert decoded[0] == 4, "the batch after this one, and no further"
    decoder.close()


def test_images_in_several_chunks_are_one_column() -> None:
    rows, faults = partition_table(), Faults()
    chunked = pa.concat_tables([rows.slice(0, 2), rows.slice(2)])["image"]
    decoder = Decoder(_corner, threads=2)
    (whole,) = decoder.batches(rows["image"], range(6), 6, faults)
    (parts,) = decoder.batches(chunked, range(6), 6, faults)
    decoder.close()
    np.testing.assert_array_equal(whole[1], parts[1])
