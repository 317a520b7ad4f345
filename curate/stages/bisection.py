"""Calling a model on batches so that neither a small device nor a poisonous picture stops a run.

A batch that does not fit into the device's memory is halved, and the smaller size is kept. A batch
on which the model raises is halved until the picture that does it stands alone; that picture is
data and goes to the ledger, the others go on. A model that fails on everything is a defect of the
program and raises.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Sequence

from curate.core.errors import CurateError, DeviceFailed
from curate.core.meters import DEVICE_SECONDS, batch_note
from curate.stages.faults import Faults, one_line

#: Does the work of the pictures [start, stop) of a batch and keeps its results, or raises and
#: keeps nothing.
Call = Callable[[int, int], None]

_OUT_OF_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC")


class Bisection:
    """The calls of one stage for one partition.

    Example::

        calls = Bisection(faults, size=32)
        for places, images in decoder.batches(...):
            calls.run(lambda start, stop: ..., places)
        calls.finish(lambda: ...)
    """

    def __init__(self, faults: Faults, *, size: int) -> None:
        """Begin a partition.

        Args:
            faults: pictures that fail are entered here.
            size: most pictures in a call.
        """
        self.size = size
        self._faults = faults
        self._halvings = 0
        self._worked = 0
        self._batches: Counter[str] = Counter()
        self._seconds = 0.0

    @property
    def notes(self) -> dict[str, float]:
        """``least_batch``, the size at the end, ``halvings``, calls by size, and their time."""
        return {
            "least_batch": float(self.size),
            "halvings": float(self._halvings),
            **{name: float(number) for name, number in self._batches.items()},
            DEVICE_SECONDS: self._seconds,
        }

    def run(self, call: Call, places: Sequence[int]) -> None:
        """Call for a batch of pictures, in pieces of ``size`` at most, in their order.

        Args:
            call: does the work.
            places: the pictures' places in the partition; ``call`` gets indices into them.

        Raises:
            torch.OutOfMemoryError: a single picture is too much for the device.
            DeviceFailed: the device itself has failed.
            CurateError: whatever of these ``call`` raises.
        """
        waiting = [(0, len(places))]
        while waiting:
            start, stop = waiting.pop()
            if stop - start > self.size:
                waiting += [(start + self.size, stop), (start, start + self.size)]
                continue
            begun = time.perf_counter()
            error = _attempt(call, start, stop)
            self._seconds += time.perf_counter() - begun
            if error is None:
                self._worked += stop - start
                self._batches[batch_note(stop - start)] += 1
            elif _out_of_memory(error):
                self._halve(stop - start, error)
                waiting.append((start, stop))
            elif stop - start == 1:
                self._faults.blame(places[start], error)
            else:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
            # An exception holds on to its frames, and they to what the failed call had allocated.
            error = None

    def finish(self, control: Callable[[], None]) -> None:
        """End the partition.

        Args:
            control: calls the model on a picture that nothing is wrong with. It is asked where the
                partition's one picture failed: then it alone can tell who is to blame.

        Raises:
            RuntimeError: the model failed on every picture, so it is not the pictures' fault.
        """
        failed, first = self._faults.num_failed, self._faults.first_error
        if self._worked or first is None or (failed == 1 and _works(control)):
            return
        pictures = f"all {failed} pictures" if failed > 1 else "every picture"
        raise RuntimeError(
            f"the model failed on {pictures} ({one_line(first)}): the fault lies with the "
            "checkpoint, its settings or its code, not with the pictures"
        ) from first

    def _halve(self, count: int, error: Exception) -> None:
        if count == 1:
            raise error
        self.size = (count + 1) // 2
        self._halvings += 1
        error.__traceback__ = None
        _free_memory()


def _attempt(call: Call, start: int, stop: int) -> Exception | None:
    """Return what a call raises, but for errors that are no single picture's."""
    try:
        call(start, stop)
    except CurateError:
        raise
    except Exception as error:  # what a picture can do to a model is not known beforehand
        if _device_failed(error):
            raise DeviceFailed(
                f"the GPU failed and cannot be used by this process any more ({one_line(error)}): "
                "run the same command again, what is committed stays. If it fails at the same "
                "partition, 'device: cpu' shows where the model's own code goes wrong"
            ) from error
        return error
    return None


def _works(control: Callable[[], None]) -> bool:
    return _attempt(lambda start, stop: control(), 0, 1) is None


def _out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _OUT_OF_MEMORY)


def _device_failed(error: Exception) -> bool:
    """Whether the device refuses all that follows, as CUDA does after a failed kernel."""
    import torch

    if _out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
