from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from curate.core.errors import RunLocked, StoreError
from curate.core.lease import EXPIRE_S, LEASE_FILE, owned, owner_of
from tests.recipes import read_only

_HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from curate.core.lease import owned\n"
    "with owned(Path(sys.argv[1])):\n"
    "    print('mine', flush=True)\n"
    "    sys.stdin.readline()\n"
)


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
    assert (tmp_path / LEASE_FILE).exists()
    assert owner_of(tmp_path) is None
    with owned(tmp_path):
        owner = owner_of(tmp_path)
        assert owner is not None
        assert owner["pid"] == os.getpid()
    assert not (tmp_path / LEASE_FILE).exists()


def test_the_lease_is_given_back_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), owned(tmp_path / "new"):
        _ = 1 / 0
    assert list((tmp_path / "new").iterdir()) == []


def test_one_process_does_not_own_a_run_twice(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(RunLocked, match="wait for it or stop it"), owned(tmp_path):
        raise AssertionError("two owners")


def test_another_process_that_got_the_dead_owners_number_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    with owned(tmp_path):
        lease = json.loads((tmp_path / LEASE_FILE).read_text())
    if lease["started"] is None:
        pytest.skip("this system does not say when a process began")
    (tmp_path / LEASE_FILE).write_text(json.dumps({**lease, "started": "1"}))
    with owned(tmp_path):
        assert json.loads((tmp_path / LEASE_FILE).read_text())["started"] == lease["started"]


@pytest.mark.parametrize(("age_s", "taken"), [(EXPIRE_S - 20, True), (EXPIRE_S + 20, False)])
@pytest.mark.parametrize("lease", ['{"host": "elsewhere", "pid": 1}', "", "[]", "{"])
def test_a_lease_of_another_host_expires(
    tmp_path: Path, lease: str, age_s: float, taken: bool
) -> None:
    path = tmp_path / LEASE_FILE
    path.write_text(lease)
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    if taken:
        with pytest.raises(RunLocked), owned(tmp_path):
            raise AssertionError("two owners")
    else:
        with owned(tmp_path):
            assert json.loads(path.read_text())["host"] == socket.gethostname()


def test_who_lost_the_lease_leaves_the_new_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / LEASE_FILE
    with owned(tmp_path):
        path.write_text('{"host": "elsewhere", "pid": 1, "token": "other"}')
    assert json.loads(path.read_text())["token"] == "other"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        read_only(tmp_path / "locked") as folder,
        pytest.raises(StoreError, match="not allowed to write"),
        owned(folder),
    ):
        raise AssertionError("not owned")


def test_nobody_owns_a_run_that_is_not_running(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
