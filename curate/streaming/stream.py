"""A selection as a torch ``IterableDataset``: shuffled, shared out, resumed to the sample."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed
from torch.utils.data import IterableDataset, get_worker_info

from curate.core.errors import StoreError
from curate.core.location import StorePath, store_path
from curate.core.samples import Sample, Samples, TextsConfig
from curate.core.selection import Selection
from curate.core.table import CommittedTable
from curate.images import decode
from curate.streaming.order import Epoch, Reader

if TYPE_CHECKING:
    import pyarrow as pa

Transform = Callable[[Sample], Any]


@dataclass(frozen=True)
class Order:
    """What decides the order of a stream beside its epoch.

    Attributes:
        shuffle: False for source order.
        seed: of the order, and of the draw of ``texts: sample``.
        mix: partitions whose samples are shuffled together, and held in memory by each worker.
        even: every rank gets the same number of samples an epoch; see ``Epoch.stretch``.
    """

    shuffle: bool = True
    seed: int = 0
    mix: int = 4
    even: bool = True


class SelectionStream(IterableDataset[Any]):
    """The samples of a finished run's selection.

    Ranks and their data workers get different samples, together all of them. ``state_dict`` says
    where a reader is and ``load_state_dict`` goes on behind it: with ``num_workers=0`` ask the
    stream itself; with workers each has its own place, which torchdata's ``StatefulDataLoader``
    gathers and hands back. Call ``set_epoch`` before each epoch, for another order.

    Args:
        samples: which samples.
        order: how they are shuffled.
        transform: makes of a sample what is given; it must pickle where workers are spawned.
        reader: rank and world where they are not torch.distributed's.

    Attributes:
        counts: samples of each partition.
    """

    def __init__(
        self,
        samples: Samples,
        order: Order,
        *,
        transform: Transform,
        reader: Reader | None = None,
    ) -> None:
        super().__init__()
        samples.selection.check(samples.table)
        if order.mix < 1 or order.seed < 0:
            raise ValueError(
                f"mix is at least 1 and seed at least 0, not {order.mix}, {order.seed}"
            )
        self._samples = samples
        # counted once, here, and not in every worker
        self.counts = [samples.count(number) for number in samples.table.partitions]
        self._order = order
        self._transform = transform
        self._reader = reader
        self._number = 0
        self._given = 0
        self._read_by: tuple[int, ...] | None = None
        self._goes_on = False

    @property
    def epoch(self) -> int:
        """Number of the epoch that is given, or will be."""
        return self._number

    def set_epoch(self, number: int) -> None:
        """Choose the epoch to be given next; where the epoch changes, it begins at its start."""
        if number != self._number:
            self._number, self._given, self._goes_on = number, 0, False

    def __len__(self) -> int:
        """Return how many samples an epoch gives this rank."""
        start, stop = self._epoch().stretch(self._rank(), even=self._order.even)
        return stop - start

    def __iter__(self) -> Iterator[Any]:
        """Give this reader's samples of the epoch, behind the place that was loaded, if any."""
        reader = _with_worker(self._rank())
        if not self._goes_on:
            self._given = 0
        elif self._read_by != astuple(reader):
            raise StoreError(
                f"the state is of rank, world, worker, workers {self._read_by}, this reader is "
                f"{astuple(reader)}: go on with as many processes and workers as before"
            )
        self._read_by, self._goes_on = astuple(reader), False
        epoch = self._epoch()
        start, stop = epoch.stretch(reader, even=self._order.even)
        samples = replace(self._samples, salt=f"{self._number}/")
        for partitions, wanted in epoch.walk(start + self._given, stop):
            numbers = [self._samples.table.partitions[index] for index in partitions]
            held = list(itertools.chain.from_iterable(map(samples.partition, numbers)))
            for index in wanted:
                self._given += 1
                yield self._transform(held[index])

    def state_dict(self) -> dict[str, Any]:
        """Return the place behind the last sample that was given; JSON values."""
        return {
            "stream": self._identity(),
            "epoch": self._number,
            "given": self._given,
            "read_by": None if self._read_by is None else list(self._read_by),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind a place when iterated next.

        Raises:
            StoreError: it is a place in another stream: another selection, order or texts.
        """
        if state["stream"] != self._identity():
            raise StoreError(
                "the state is of a stream of another run, selection, order or choice of texts: "
                "make the stream as it was made then"
            )
        self._number, self._given = int(state["epoch"]), int(state["given"])
        self._read_by = None if state["read_by"] is None else tuple(state["read_by"])
        self._goes_on = self._read_by is not None

    def ray_dataset(self) -> Any:
        """Return a Ray Data dataset of the samples, a row a sample.

        Columns: ``key``, ``uid``, ``image`` (encoded bytes), ``text``, ``source``, ``weight``
        and, with ``per="image"``, ``texts`` and ``weights``. Ray Data shuffles and shares out by
        its own means, and partitions come in the order in which they are read; ``transform``,
        ``shuffle`` and ``epoch`` have no part in it.
        """
        from curate.engine.ray_dataset import dataset_of

        numbers = [
            number
            for number, count in zip(self._samples.table.partitions, self.counts, strict=True)
            if count
        ]
        return dataset_of(numbers, _PartitionTable(self._samples))

    def _epoch(self) -> Epoch:
        order = self._order
        return Epoch(self.counts, order.seed, self._number, order.shuffle, order.mix)

    def _rank(self) -> Reader:
        if self._reader is not None:
            return self._reader
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return Reader(torch.distributed.get_rank(), torch.distributed.get_world_size())
        return Reader()

    def _identity(self) -> str:
        """Return what the places of two streams of the same samples have in common."""
        samples = self._samples
        facts = (
            samples.table.fingerprint,
            sorted((key, str(value)) for key, value in samples.selection.facts.items()),
            samples.config.model_dump_json(),
            samples.per,
            self._order,
        )
        return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class _PartitionTable:
    """Reads a partition's samples as a table, wherever Ray runs it."""

    samples: Samples

    def __call__(self, number: int) -> pa.Table:
        import pyarrow as pa

        rows = [_row(sample, per=self.samples.per) for sample in self.samples.partition(number)]
        return pa.Table.from_pylist(rows)


def as_dict(sample: Sample) -> dict[str, Any]:
    """Return a sample with its picture decoded: uint8, (height, width, 3), RGB.

    ``text`` is the one text, or the first; ``texts`` and ``weights`` hold all.
    """
    return {**_row(sample, per="image"), "image": decode(sample.image)}


def _row(sample: Sample, *, per: str) -> dict[str, Any]:
    first = sample.captions[0]
    row = {
        "key": sample.key,
        "uid": sample.uid,
        "image": sample.image,
        "text": first.text,
        "source": first.source,
        "weight": first.weight,
    }
    if per == "text":
        return row
    every = sample.captions
    return {**row, "texts": [c.text for c in every], "weights": [c.weight for c in every]}


def _with_worker(rank: Reader) -> Reader:
    info = get_worker_info()
    return rank if info is None else replace(rank, worker=info.id, workers=info.num_workers)


def stream(
    run: str | StorePath,
    selection: str = "default",
    *,
    per: Literal["text", "image"] = "text",
    texts: Literal["all", "best", "sample"] = "all",
    best_by: str | None = None,
    weights: Mapping[Literal["web", "synthetic", "human"], float] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    mix: int = 4,
    even: bool = True,
    rank: int | None = None,
    world: int | None = None,
    transform: Transform = as_dict,
) -> SelectionStream:
    """Open a finished run's selection as a torch ``IterableDataset``.

    Args:
        run: the run's folder; a path, or a URL such as ``s3://bucket/run``.
        selection: which of its selections.
        per: ``text`` for a sample for each selected text, ``image`` for a sample an image.
        texts: ``all`` selected texts of an image, the ``best`` by ``best_by``, or a ``sample`` of
            one, drawn anew in every epoch.
        best_by: score column, with ``texts="best"``.
        weights: how much a text counts beside its image's others, by where it came from.
        shuffle: False for source order.
        seed: of the order and of the draw.
        mix: partitions whose samples are shuffled together, and held in memory by each worker.
        even: every rank gets the same number of samples; up to ``world - 1`` are left out.
        rank: of this training process; torch.distributed's where not given.
        world: number of training processes.
        transform: makes of a ``curate.core.samples.Sample`` what is given; by default a mapping
            with ``image`` (uint8, (height, width, 3), RGB), ``text``, ``texts``, ``weights``,
            ``source``, ``weight``, ``key`` and ``uid``.

    Raises:
        StoreError: no run, no such selection, or one decided on an earlier table.
        pydantic.ValidationError: choices of texts that do not fit together.

    Example:
        >>> for epoch in range(3):  # doctest: +SKIP
        ...     stream.set_epoch(epoch)
        ...     for sample in stream: ...
    """
    if (rank is None) != (world is None):
        raise ValueError("rank and world go together: give both or neither")
    reader = None if rank is None or world is None else Reader(rank, world)
    if reader is not None and not 0 <= reader.rank < reader.world:
        raise ValueError(f"rank {rank} is none of {world}: ranks count from 0")
    table = CommittedTable.open(store_path(run))
    config = TextsConfig(
        texts=texts,
        best_by=best_by,
        weights=dict(weights or {}),
        seed=seed if texts == "sample" else 0,
    )
    samples = Samples(table, Selection.open(store_path(run), selection), config, per)
    return SelectionStream(
        samples, Order(shuffle, seed, mix, even), transform=transform, reader=reader
    )
