"""What goes wrong with an object store: kills, two owners, no bucket, no rights, no network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from curate.core import lease, objects
from curate.core.atomic import read_json, sweep_temporaries, write_json, write_new
from curate.core.errors import RunLocked, StoreError
from curate.core.failpoints import VARIABLE
from curate.core.lease import owned, owner_of
from curate.core.location import StorePath, store_path
from tests.objectstore.contents import contents, differences
from tests.objectstore.server import BUCKET, S3Server
from tests.recipes import curate, curate_process, folder_recipe, picture_folder, write_recipe


@pytest.fixture
def root(place: str) -> StorePath:
    return store_path(place)


def small(tmp: Path, place: str, **changes: Any) -> Path:
    picture_folder(tmp / "pictures")
    return write_recipe(tmp / "r.yaml", folder_recipe(tmp, output=place, **changes))


# -- kills ----------------------------------------------------------------------------------------


def killed_at(monkeypatch: pytest.MonkeyPatch, where: str, *arguments: str | Path) -> None:
    monkeypatch.setenv(VARIABLE, where)
    with curate_process(*arguments) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said
    monkeypatch.delenv(VARIABLE)


@pytest.mark.parametrize(
    "where",
    [
        "object.put@commits:2",
        pytest.param("object.written@commits:2", marks=pytest.mark.slow),
        pytest.param("object.put@files", marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_after_a_kill(
    tmp_path: Path, place: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(tmp_path, place)
    killed_at(monkeypatch, where, "run", path)
    said = json.loads(curate("run", path, "--json").stdout)
    assert not said["nothing_to_do"]
    assert curate("run", path, "--output", tmp_path / "disk").exit_code == 0
    assert differences(contents(place), contents(tmp_path / "disk")) == []


@pytest.mark.slow
def test_one_run_killed_at_many_places(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"export": [{"kind": "webdataset", "shard_rows": 2}], "sinks": [{"kind": "lance"}]}
    path = small(tmp_path, place, **sections)
    for where in (
        *("lease.taken", "object.put@files", "commit.part", "commit.flushed", "commit.done"),
        *("selection.decided", "object.put@selections", "lance.created", "lance.appended"),
        *("object.put@.unfinished:2", "export.shards", "export.manifest"),
    ):
        killed_at(monkeypatch, where, "run", path)
    assert curate("run", path).exit_code == 0
    assert curate("run", path, "--output", tmp_path / "disk").exit_code == 0
    assert differences(contents(place), contents(tmp_path / "disk")) == []


def test_an_upload_in_parts_that_a_kill_left_is_given_up(root: StorePath) -> None:
    assert not isinstance(root, Path)
    fs = root.fs
    bucket, _, prefix = root.path.partition("/")
    other = f"{prefix}-of-another-run"
    for key in (f"{prefix}/shards/00000.tar", f"{other}/shards/00000.tar"):
        fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    assert sweep_temporaries(root) == 1
    left = {upload["Key"] for upload in fs.list_multipart_uploads(bucket)}
    assert f"{other}/shards/00000.tar" in left
    assert f"{prefix}/shards/00000.tar" not in left


# -- two owners -----------------------------------------------------------------------------------


def test_a_second_process_is_refused(tmp_path: Path, place: str, root: StorePath) -> None:
    path = small(tmp_path, place)
    with owned(root):
        refused = curate("run", path)
        assert refused.exit_code == 2
        assert "is owned by process" in refused.stderr
        assert json.loads(curate("plan", path, "--json").stdout)
    assert curate("run", path).exit_code == 0
    assert owner_of(root) is None


def test_a_lease_of_another_host_is_taken_over_once_it_expired(
    root: StorePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both times are the store's, whose clock shows whole seconds."""
    write_json(root / "lease" / "00000007.json", {"host": "elsewhere", "pid": 1})
    with pytest.raises(RunLocked, match="owned by process 1 on elsewhere"), owned(root):
        raise AssertionError("two owners")
    monkeypatch.setattr(lease, "EXPIRE_S", 1.0)
    time.sleep(2.1)
    with owned(root) as crashed:
        assert crashed
        assert [path.name for path in (root / "lease").iterdir()] == ["00000008.json"]


def test_of_many_that_write_a_new_object_one_does(root: StorePath) -> None:
    path = root / "lease" / "00000001.json"
    start = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        start.wait()
        if write_new(path, number):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read_json(path)] == won


# -- what a store says no with --------------------------------------------------------------------


def test_no_such_bucket(tmp_path: Path, s3: S3Server) -> None:
    refused = curate("run", small(tmp_path, "s3://nowhere-to-be-found/run"))
    assert refused.exit_code == 2
    assert "cannot write s3://nowhere-to-be-found/run/lease/00000001.json" in refused.stderr
    assert "make the bucket first, or name another" in refused.stderr


def test_no_run_there(place: str) -> None:
    refused = curate("status", place)
    assert refused.exit_code == 2
    assert f"{place} holds no run (no plan.json)" in refused.stderr


def test_no_rights(tmp_path: Path, place: str, s3: S3Server, monkeypatch: Any) -> None:
    path = small(tmp_path, place)
    monkeypatch.setattr(s3, "refuse", lambda method, path: 403 if method == "PUT" else None)
    refused = curate("run", path)
    assert refused.exit_code == 2
    assert f"not allowed to write {place}/lease/00000001.json" in refused.stderr
    assert "check the credentials" in refused.stderr


def test_no_credentials(root: StorePath, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        write_json(store_path(f"s3://{BUCKET}/without/plan.json"), {})
    S3FileSystem.clear_instance_cache()


def test_no_network(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="Check the endpoint and the network"):
        write_json(store_path(f"s3://{BUCKET}/run/plan.json"), {})
    S3FileSystem.clear_instance_cache()


def test_a_store_that_fails_in_the_middle_stops_the_run_and_it_goes_on(
    tmp_path: Path, place: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(tmp_path, place)

    def refuse(method: str, what: str) -> int | None:
        return 500 if method == "PUT" and "/commits/" in what and "00000001" in what else None

    with monkeypatch.context() as failing:
        failing.setenv("AWS_MAX_ATTEMPTS", "1")
        failing.setattr(s3, "refuse", refuse)
        stopped = curate("run", path)
    assert stopped.exit_code == 2
    assert "part-00000001.json" in stopped.stderr
    assert curate("run", path).exit_code == 0
    assert curate("run", path, "--output", tmp_path / "disk").exit_code == 0
    assert differences(contents(place), contents(tmp_path / "disk")) == []


def test_answers_are_not_remembered(root: StorePath) -> None:
    """What another process writes is seen at once."""
    assert not isinstance(root, Path)
    assert not objects.exists(root / "one.json")
    assert objects.names(root) == []
    root.fs.call_s3(
        "put_object", Bucket=BUCKET, Key=f"{root.path.partition('/')[2]}/one.json", Body=b"{}"
    )
    assert objects.exists(root / "one.json")
    assert objects.names(root) == ["one.json"]


_FORKS = (
    "import os, sys\n"
    "from curate.core.atomic import read_json\n"
    "from curate.core.location import store_path\n"
    "path = store_path(sys.argv[1])\n"
    "assert read_json(path) == 7\n"
    "child = os.fork()\n"
    "if child == 0:\n"
    "    os._exit(0 if read_json(path) == 7 else 1)\n"
    "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
)


def test_a_forked_process_asks_for_itself(root: StorePath) -> None:
    """Workers of a DataLoader are forked where torch is not told otherwise."""
    write_json(root / "seven.json", 7)
    ended = subprocess.run(
        [sys.executable, "-c", _FORKS, str(root / "seven.json")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
