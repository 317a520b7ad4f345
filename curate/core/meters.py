"""What a run tells a monitoring system: names, labels and meanings, and what a commit adds to them.

Where the figures go is the engine's affair: the ray engine gives them to Ray's own metrics, which
Prometheus scrapes; the local engine has no server, and its figures are in the run's folder alone.
Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). Every label is
of a small closed set: the run, its legs and stages, the ledger's reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from curate.core.store import Receipt

#: Beginning of a note that counts batches: ``batches_le_32`` had at most 32 pictures.
BATCHES = "batches_le_"
#: Note of the seconds that a stage's model was at work on the device.
DEVICE_SECONDS = "device_seconds"
_HALVINGS = "halvings"
_BATCH_SIZES = tuple(float(2**k) for k in range(13))
_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Meter:
    """One metric.

    Attributes:
        name: as the program gives it.
        kind: of Prometheus.
        labels: besides ``run``, which all have.
        description: what it counts.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    description: str
    buckets: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """Return its name at Ray's metrics endpoint."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names of its series there: a histogram has three."""
        if self.kind != "histogram":
            return (self.exported,)
        return tuple(f"{self.exported}_{part}" for part in ("bucket", "sum", "count"))


ROWS = Meter("curate_rows", "counter", ("leg",), "Rows that entered a leg.")
DROPPED = Meter(
    "curate_rows_dropped", "counter", ("leg", "stage", "reason"), "Rows that stopped, by reason."
)
PAIRS = Meter("curate_pairs", "counter", ("leg",), "Texts of the rows that left a leg.")
COMMITS = Meter("curate_commits", "counter", ("leg",), "Partitions committed.")
BYTES = Meter("curate_bytes_written", "counter", ("leg",), "Bytes of the committed files.")
PARTITION_SECONDS = Meter(
    "curate_partition_seconds", "histogram", ("leg",), "Worker time of a partition.", _SECONDS
)
STAGE_SECONDS = Meter("curate_stage_seconds", "counter", ("leg", "stage"), "Worker time.")
DEVICE_BUSY = Meter(
    "curate_device_busy_seconds",
    "counter",
    ("leg", "stage"),
    "Time in which a stage's model was at work, on its GPU or its cores.",
)
BATCH_SIZE = Meter(
    "curate_batch_size",
    "histogram",
    ("leg", "stage"),
    "Pictures in a call of the model, each call counted at the power of two that holds it.",
    _BATCH_SIZES,
)
HALVINGS = Meter(
    "curate_batch_halvings", "counter", ("leg", "stage"), "Batches that the memory did not hold."
)
RETRIES = Meter(
    "curate_retries",
    "counter",
    ("leg", "cause"),
    "Partitions tried again: failed, device_failed, worker_lost or node_lost.",
)
SET_ASIDE = Meter("curate_partitions_set_aside", "counter", ("leg",), "Partitions quarantined.")
IN_FLIGHT = Meter(
    "curate_in_flight", "gauge", ("leg",), "Partitions given to workers or waiting for one, now."
)
WORKERS = Meter(
    "curate_workers", "gauge", ("leg", "state"), "Workers: starting, waiting, working, retiring."
)

METERS = (
    *(ROWS, DROPPED, PAIRS, COMMITS, BYTES, PARTITION_SECONDS, STAGE_SECONDS, DEVICE_BUSY),
    *(BATCH_SIZE, HALVINGS, RETRIES, SET_ASIDE, IN_FLIGHT, WORKERS),
)


class Meters(Protocol):
    """Where figures go."""

    def add(self, meter: Meter, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or enter a value into a histogram."""
        ...


def batch_note(size: int) -> str:
    """Return the note that counts batches of a size, in pictures.

    Example:
        >>> batch_note(17)
        'batches_le_32'
    """
    return f"{BATCHES}{1 << max(0, size - 1).bit_length()}"


def count(receipt: Receipt, meters: Meters, *, leg: str) -> None:
    """Enter a commit; an errand that found nothing to commit is none."""
    if not receipt.fingerprint:
        return
    meters.add(COMMITS, 1, leg=leg)
    for meter, value in (
        (ROWS, receipt.rows_in),
        (PAIRS, receipt.texts),
        (BYTES, receipt.bytes_written),
    ):
        meters.add(meter, value, leg=leg)
    meters.add(PARTITION_SECONDS, sum(receipt.seconds.values()), leg=leg)
    for stage, reasons in receipt.dropped.items():
        for reason, rows in reasons.items():
            meters.add(DROPPED, rows, leg=leg, stage=stage, reason=reason)
    for stage, seconds in receipt.seconds.items():
        meters.add(STAGE_SECONDS, seconds, leg=leg, stage=stage)
    for stage, note, amount in _by_stage(receipt.notes):
        if note == DEVICE_SECONDS:
            meters.add(DEVICE_BUSY, amount, leg=leg, stage=stage)
        elif note == _HALVINGS:
            meters.add(HALVINGS, amount, leg=leg, stage=stage)
        elif note.startswith(BATCHES):
            size = float(note.removeprefix(BATCHES))
            for _ in range(int(amount)):
                meters.add(BATCH_SIZE, size, leg=leg, stage=stage)


def device_seconds(notes: Mapping[str, float]) -> float:
    """Return how long the models of a receipt or of totals were at work, seconds."""
    return sum(value for _, note, value in _by_stage(notes) if note == DEVICE_SECONDS)


def _by_stage(notes: Mapping[str, float]) -> Iterator[tuple[str, str, float]]:
    """Yield stage, note and value; notes without a stage are left out."""
    for name, value in notes.items():
        stage, dot, note = name.rpartition(".")
        if dot:
            yield stage, note, value
