"""Means of the losses between two lines of metrics: JSONL, and TensorBoard where it is wanted."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from curate.core.errors import CurateError, ModelError

if TYPE_CHECKING:
    from torch import Tensor


class Metrics:
    """Collects losses and writes a row every so many steps."""

    def __init__(
        self, path: Path | None, *, every: int, last: int, tensorboard: bool = False
    ) -> None:
        """Open the files; a training that goes on cuts off what was written after its state.

        Args:
            path: the JSONL file; None collects and checks, and writes nothing.
            every: steps between two rows.
            last: number of the last step, which always gets a row.
            tensorboard: also write events to the folder ``tensorboard`` beside the file.

        Raises:
            CurateError: TensorBoard is wanted and not installed.
        """
        self.every, self.last = every, last
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()
        self.pictures = 0
        self.since = time.monotonic()
        self.waited_s: Sequence[float] = ()
        self.shown: dict[str, float] = {}
        self._events_from = (
            _events_in(path.parent / "tensorboard") if path and tensorboard else None
        )
        self._events: Any = None
        self._file: IO[str] | None = path.open("a", encoding="utf-8") if path else None

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()

    def add(
        self,
        step: int,
        losses: dict[str, Tensor],
        *,
        pictures: int,
        epoch: int,
        lr: float,
        waited_s: Sequence[float],
    ) -> None:
        """Take in a step; write a row every so many, and at the last step.

        Args:
            step: its number, from 0.
            losses: by objective, and ``loss`` and ``grad_norm``; empty where no picture decoded.
            pictures: pairs of the batch.
            epoch: from 0.
            lr: the learning rate of scale 1.
            waited_s: seconds each worker has waited for data since the training (re)started.

        Raises:
            ModelError: the loss is no longer a number.
        """
        self.pictures += pictures
        self.counts.update(losses.keys())
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        due = (step + 1) % self.every == 0 or step == self.last
        if not due or not self.counts["loss"]:
            return
        now = time.monotonic()
        passed = max(1e-9, now - self.since)
        self.shown = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        row: dict[str, Any] = {"step": step + 1, "epoch": epoch + 1, "lr": lr}
        row["images_per_s"] = round(self.pictures / passed, 2)
        row |= self._waits(waited_s, passed)
        row |= {name: round(value, 6) for name, value in self.shown.items()}
        if not math.isfinite(self.shown["loss"]):
            raise ModelError(
                f"the loss is {self.shown['loss']} at step {step + 1}: lower optim.lr, raise "
                "optim.warmup, or leave half precision (precision: fp32)"
            )
        self._write(row)
        self.sums, self.counts, self.pictures = {}, Counter(), 0
        self.since, self.waited_s = now, waited_s

    def _waits(self, waited_s: Sequence[float], passed_s: float) -> dict[str, Any]:
        """Return the share of time spent waiting for data: the longest, and each worker's."""
        before = self.waited_s or [0.0] * len(waited_s)
        shares = [
            round((now - then) / passed_s, 4) for now, then in zip(waited_s, before, strict=True)
        ]
        return {"data_wait": max(shares)} | ({"data_waits": shares} if len(shares) > 1 else {})

    def line(self) -> str:
        """Return the losses last written, for people."""
        return " ".join(f"{name} {value:.3f}" for name, value in self.shown.items()) or "starting"

    def state_dict(self) -> dict[str, Any]:
        """Return what was collected since the last row, and how much of the file is valid."""
        return {
            "bytes": self._file.tell() if self._file is not None else 0,
            "sums": dict(self.sums),
            "counts": dict(self.counts),
            "shown": self.shown,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``; later rows of the file go.

        Rates of the next row are of the steps from here on: the time before is not known.
        """
        if self._file is not None and self._file.tell() > state["bytes"]:
            self._file.truncate(state["bytes"])
        self.sums, self.counts = dict(state["sums"]), Counter(state["counts"])
        self.shown = dict(state["shown"])

    def _write(self, row: dict[str, Any]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._events_from is not None:
            self._events = self._events or self._events_from(row["step"])
            for name, value in row.items():
                if name not in ("step", "data_waits"):
                    self._events.add_scalar(name, value, row["step"])


def _events_in(folder: Path) -> Callable[[int], Any]:
    """Return what opens a writer of events: those from its first step on are no longer shown."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise CurateError(
            "'tensorboard: true' needs the package tensorboard: pip install 'curate[tensorboard]', "
            "or leave the option out"
        ) from error
    return lambda first_step: SummaryWriter(str(folder), purge_step=first_step)
