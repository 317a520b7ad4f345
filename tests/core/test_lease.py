from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.core import lease
from curate.core.atomic import write_json
from curate.core.errors import RunLocked, StoreError
from curate.core.lease import EXPIRE_S, LEASE_FOLDER, owned, owner_of
from curate.core.location import StorePath, store_path
from curate.core.objects import modified
from tests.recipes import read_only

_HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from curate.core.lease import owned\n"
    "with owned(Path(sys.argv[1])):\n"
    "    print('mine', flush=True)\n"
    "    sys.stdin.readline()\n"
)


@pytest.fixture(params=["disk", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePath]:
    if request.param == "disk":
        yield tmp_path / "run"
        return
    path = store_path(f"memory://{uuid.uuid4().hex}/run")
    assert not isinstance(path, Path)
    yield path
    path.fs.rm(path.path, recursive=True)


def newest(root: StorePath) -> StorePath:
    return max((root / LEASE_FOLDER).iterdir(), key=str)


def said(root: StorePath) -> dict[str, object]:
    found: dict[str, object] = json.loads(newest(root).read_bytes())
    return found


def leave(root: StorePath, content: str, *, number: int = 1) -> StorePath:
    """Leave a lease as another host would."""
    path = root / LEASE_FOLDER / f"{number:08d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def written(path: StorePath) -> float:
    return path.stat().st_mtime if isinstance(path, Path) else modified(path)


def hold(root: Path) -> subprocess.Popen[str]:
    """Return another process that owns the run until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_second_process_is_refused_and_a_dead_one_succeeded(tmp_path: Path) -> None:
    with hold(tmp_path) as other:
        try:
            with (
                pytest.raises(RunLocked, match=f"owned by process {other.pid} on"),
                owned(tmp_path),
            ):
                raise AssertionError("two owners")
            owner = owner_of(tmp_path)
            assert owner is not None
            assert owner["pid"] == other.pid
        finally:
            other.kill()
    # the lease is still there, its owner is not
    assert said(tmp_path)["pid"] == other.pid
    assert owner_of(tmp_path) is None
    with owned(tmp_path) as crashed:
        assert crashed
        owner = owner_of(tmp_path)
        assert owner is not None
        assert owner["pid"] == os.getpid()
    assert owner_of(tmp_path) is None


def test_the_lease_is_given_back_when_the_block_raises(root: StorePath) -> None:
    with pytest.raises(ZeroDivisionError), owned(root):
        _ = 1 / 0
    assert owner_of(root) is None
    with owned(root) as crashed:
        assert not crashed


def test_leases_of_the_past_do_not_pile_up(root: StorePath) -> None:
    for number in range(1, 4):
        with owned(root):
            names = [path.name for path in (root / LEASE_FOLDER).iterdir()]
            assert names == [f"{number:08d}.json"]


def test_one_process_does_not_own_a_run_twice(root: StorePath) -> None:
    with owned(root), pytest.raises(RunLocked, match="wait for it or stop it"), owned(root):
        raise AssertionError("two owners")


def test_of_many_takers_one_wins(tmp_path: Path) -> None:
    leave(tmp_path, '{"host": "elsewhere", "pid": 1, "released": true}')
    start, done = threading.Barrier(8), threading.Event()
    won: list[int] = []
    refused: list[str] = []

    def take(number: int) -> None:
        start.wait()
        try:
            with owned(tmp_path):
                won.append(number)
                done.wait(10)
        except RunLocked as error:
            refused.append(str(error))
        if len(refused) == 7:
            done.set()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(refused) == 7


def test_another_process_that_got_the_dead_owners_number_is_not_taken_for_it(
    root: StorePath,
) -> None:
    with owned(root):
        mine = said(root)
    if mine["started"] is None:
        pytest.skip("this system does not say when a process began")
    write_json(newest(root), {**mine, "started": "1"})
    with owned(root) as crashed:
        assert crashed
        assert said(root)["started"] == mine["started"]


def test_a_machine_of_the_same_name_is_another_machine(root: StorePath) -> None:
    """What runs there cannot be seen from here, so its lease holds until it expires."""
    with owned(root):
        mine = said(root)
    write_json(newest(root), {**mine, "boot": "another", "pid": 2**22 + 1})
    with pytest.raises(RunLocked), owned(root):
        raise AssertionError("two owners")


@pytest.mark.parametrize(("age_s", "taken"), [(EXPIRE_S - 20, True), (EXPIRE_S + 20, False)])
@pytest.mark.parametrize("content", ['{"host": "elsewhere", "pid": 1}', "", "[]", "{"])
def test_a_lease_of_another_host_expires(
    tmp_path: Path, content: str, age_s: float, taken: bool
) -> None:
    path = leave(tmp_path, content)
    then = path.stat().st_mtime - age_s
    os.utime(str(path), (then, then))
    if taken:
        with pytest.raises(RunLocked), owned(tmp_path):
            raise AssertionError("two owners")
    else:
        with owned(tmp_path):
            assert said(tmp_path)["host"] == socket.gethostname()


def test_who_lost_the_lease_is_stopped_and_leaves_the_new_owners_alone(
    root: StorePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.02)
    with pytest.raises(RunLocked, match="another process has taken"), owned(root):
        leave(root, '{"host": "elsewhere", "pid": 1, "token": "other"}', number=2)
        time.sleep(5)
        raise AssertionError("not interrupted")
    assert said(root)["token"] == "other"
    assert "released" not in said(root)


def test_a_job_in_the_background_is_stopped_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell makes what a script starts with ``&`` deaf to SIGINT."""
    monkeypatch.setattr(lease, "RENEW_S", 0.02)
    terminating = signal.getsignal(signal.SIGTERM)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(RunLocked, match="another process has taken"), owned(tmp_path):
            leave(tmp_path, '{"host": "elsewhere", "pid": 1, "token": "other"}', number=2)
            time.sleep(5)
            raise AssertionError("not interrupted")
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGTERM) is terminating


def test_sigterm_is_a_request_to_stop(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), owned(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert said(tmp_path)["released"]


def test_the_lease_is_renewed(root: StorePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.02)
    with owned(root):
        first = written(newest(root))
        deadline = time.monotonic() + 5
        while written(newest(root)) == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert written(newest(root)) > first
        assert len(list((root / LEASE_FOLDER).iterdir())) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        read_only(tmp_path / "locked") as folder,
        pytest.raises(StoreError, match="not allowed to write"),
        owned(folder),
    ):
        raise AssertionError("not owned")


def test_nobody_owns_a_run_that_is_not_running(root: StorePath) -> None:
    assert owner_of(root) is None
    root.mkdir(parents=True)
