"""Partitions of a run as a Ray Data dataset: each is read where Ray puts it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import ray.data


def dataset_of(numbers: Sequence[int], read: Callable[[int], pa.Table]) -> Any:
    """Return a dataset with the rows of every partition.

    Nothing is read before the dataset is; pictures never pass through the driver.

    Args:
        numbers: of the partitions.
        read: returns a partition's rows; called on workers, so it must pickle, and what it opens
            must be reachable from them.
    """

    def read_partition(batch: pa.Table) -> pa.Table:
        return pa.concat_tables([read(number) for number in batch["number"].to_pylist()])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray Data warns of its own defaults
        ray.data.DataContext.get_current()
    blocks = [pa.table({"number": pa.array([number], pa.int64())}) for number in numbers]
    return ray.data.from_arrow(blocks).map_batches(
        read_partition, batch_size=1, batch_format="pyarrow"
    )
