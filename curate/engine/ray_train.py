"""Work that several processes do together, joined by torch.distributed: started by Ray Train.

A worker that is lost takes the others with it: all are started again, and the work goes on from
what it has saved. What ends the work for good (an error of the user's, a request to stop) is told
through a board, an actor beside the workers, which also brings their lines to the driver.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curate.core.errors import CurateError, EngineError
from curate.core.interrupt import StopAsked
from curate.core.workers import WorkersConfig
from curate.engine.ray_actors import connect
from curate.engine.ray_pool import cluster_now

Echo = Callable[[str], None]
Work = Callable[[Echo, Callable[[], bool]], None]
"""What every worker calls: with something to say lines to, and whether to stop."""

_LOOK_S = 0.3


class Board:
    """What workers and driver tell each other."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._end: CurateError | KeyboardInterrupt | None = None
        self._asked = False

    def say(self, line: str) -> None:
        """Leave a line for the driver."""
        self._lines.append(line)

    def heard(self) -> list[str]:
        """Return the lines left since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def end(self, why: CurateError | KeyboardInterrupt) -> None:
        """Note what another try would meet again; the first counts."""
        self._end = self._end or why

    def ended(self) -> CurateError | KeyboardInterrupt | None:
        """Return what has ended the work before its time, if anything."""
        return self._end

    def ask(self) -> None:
        """Ask the workers to stop."""
        self._asked = True

    def asked(self) -> bool:
        """Whether the workers were asked to stop."""
        return self._asked


def run_workers(
    work: Work, workers: WorkersConfig, *, folder: Path, device: str, echo: Echo
) -> None:
    """Let several workers do the same work, each in a process that has joined a process group.

    Args:
        work: called by every worker; it pickles. With gloo alone on CPUs; on GPUs tensors there
            go by NCCL.
        workers: how many, and what each takes.
        folder: on a file system that all nodes share; Ray's own files lie in it meanwhile.
        device: ``cpu``, ``cuda``, or ``auto``: GPUs where the cluster has some.
        echo: gets the lines that workers say.

    Raises:
        CurateError: raised by a worker.
        EngineError: too small a cluster, or workers lost more often than ``max_failures``.
        KeyboardInterrupt: stopped on request, after the workers have done what they do then.
    """
    started = not ray.is_initialized()
    if started:
        connect(workers.address)
    storage = folder / ".workers"
    try:
        use_gpu = _gpus_for(workers, device)
        _clear(storage)
        board = _board()
        job = _Job(work, board, str(Path.cwd()))
        trainer = _trainer(job, workers, use_gpu=use_gpu, storage=storage)
        _attend(_Fit(trainer), board, echo)
    finally:
        shutil.rmtree(storage, ignore_errors=True)
        if started:
            ray.shutdown()


def _board() -> Any:
    """Start a board, on the driver's node: another may be lost, and only workers with it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()


def _clear(storage: Path) -> None:
    """Remove what a killed driver left, and make the folder."""
    shutil.rmtree(storage, ignore_errors=True)
    try:
        storage.mkdir(parents=True)
    except OSError as error:
        raise EngineError(f"{storage} cannot be made: {error.strerror}") from error


def _gpus_for(workers: WorkersConfig, device: str) -> bool:
    """Return whether workers get GPUs.

    Raises:
        EngineError: the cluster is too small.
    """
    cluster = cluster_now()
    cpus, gpus = workers.count * workers.num_cpus, workers.count * workers.num_gpus
    if cluster.cpus < cpus:
        raise EngineError(
            f"{workers.count} workers of {workers.num_cpus} CPUs each want {cpus}, and the cluster "
            f"has {cluster.cpus:g}: lower workers.count or workers.num_cpus, or add nodes"
        )
    if device == "cpu" or (device == "auto" and not cluster.gpus):
        return False
    if cluster.gpus < gpus:
        raise EngineError(
            f"{workers.count} workers of {workers.num_gpus} GPUs each want {gpus}, and the cluster "
            f"has {cluster.gpus:g}: lower workers.count, add nodes, or take 'device: cpu'"
        )
    return True


def _trainer(job: _Job, workers: WorkersConfig, *, use_gpu: bool, storage: Path) -> Any:
    from ray.data import DataContext
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own use of what it has deprecated
        DataContext.get_current()
    takes = {"CPU": workers.num_cpus} | ({"GPU": workers.num_gpus} if use_gpu else {})
    unseen = {} if use_gpu else {"CUDA_VISIBLE_DEVICES": ""}
    return TorchTrainer(
        job,
        scaling_config=ScalingConfig(
            num_workers=workers.count, use_gpu=use_gpu, resources_per_worker=takes
        ),
        # small messages between CPUs go by gloo, whatever the device
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if use_gpu else "gloo"),
        run_config=RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=workers.max_failures),
            worker_runtime_env={"env_vars": unseen},
        ),
    )


class _Job:
    """What Ray Train calls on every worker."""

    def __init__(self, work: Work, board: Any, folder: str) -> None:
        self._work, self._board, self._folder = work, board, folder

    def __call__(self) -> None:
        """Do the work; errors that another try would meet again go to the board."""
        if ray.get(self._board.ended.remote()) is not None:
            return  # started again after a worker had said why it cannot be done
        if Path(self._folder).is_dir():  # relative paths mean the same as on the driver
            os.chdir(self._folder)
        try:
            self._work(self._say, _Asked(self._board))
        except KeyboardInterrupt as stopped:
            ray.get(self._board.end.remote(stopped))
        except CurateError as error:
            ray.get(self._board.end.remote(error))
            raise

    def _say(self, line: str) -> None:
        ray.get(self._board.say.remote(line))  # the last line is there before this worker ends


class _Asked:
    """Asks the board now and then whether to stop."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._looked = 0.0
        self._asked = False

    def __call__(self) -> bool:
        if not self._asked and time.monotonic() - self._looked >= _LOOK_S:
            self._asked = ray.get(self._board.asked.remote())
            self._looked = time.monotonic()
        return self._asked


class _Fit:
    """A trainer's ``fit`` in a thread: in the main one Ray Train would take Ctrl-C for itself."""

    def __init__(self, trainer: Any) -> None:
        self.error: BaseException | None = None
        self._trainer = trainer
        self._thread = threading.Thread(target=self._run, name="ray-train", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:  # told by the main thread
            self.error = error

    def goes_on(self, wait_s: float) -> bool:
        """Wait a while; returns whether it is still at it."""
        self._thread.join(wait_s)
        return self._thread.is_alive()


def _attend(fit: _Fit, board: Any, echo: Echo) -> None:
    """Pass lines and requests to stop on, until the work is done."""
    with StopAsked(echo) as stop:
        told = False
        while fit.goes_on(_LOOK_S):
            _tell(board, echo)
            if stop.asked and not told:
                told = True
                ray.get(board.ask.remote())
    _tell(board, echo)
    ended = ray.get(board.ended.remote())
    if ended is not None:
        raise ended
    if fit.error is not None:
        raise EngineError(_why(fit.error)) from fit.error


def _tell(board: Any, echo: Echo) -> None:
    for line in ray.get(board.heard.remote()):
        echo(line)


def _why(error: BaseException) -> str:
    said = "".join(traceback.format_exception_only(error)).strip()
    return (
        f"the workers failed more often than workers.max_failures allows; what they saved is kept, "
        f"and the same command goes on from it. The last failure: {said}"
    )
