"""open_clip's training reader of WebDataset shards; it decodes the pictures itself.

It skips samples that it cannot use and only warns of them, and it shuffles, so whoever asks must
count and compare.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from open_clip_train.data import get_wds_dataset

LIBRARY = "open_clip_torch"


def read(folder: str, shards: Sequence[str]) -> Iterator[str | tuple[Any, Any, Any]]:
    """Yield every sample that one epoch of a training run would be given."""
    for shard in shards:
        yield shard
        options = Namespace(
            train_data=str(Path(folder, shard)),
            train_num_samples=1,
            train_data_upsampling_factors=None,
            dataset_resampled=False,
            seed=0,
            batch_size=1,
            workers=0,
            world_size=1,
        )
        found = get_wds_dataset(options, _size, True, tokenizer=_as_it_is)
        epoch = found.dataloader.pipeline[0].dataset
        epoch.repetitions, epoch.nsamples = 1, -1  # until the shard ends, not for so many batches
        for _, texts in epoch:
            for text in texts:
                yield None, text, None


def _size(image: Any) -> int:
    return int(image.size[0])


def _as_it_is(text: str) -> list[str]:
    return [text]
