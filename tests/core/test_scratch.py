from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.core.location import StorePath, store_path
from curate.core.scratch import fetched, scratch_folder, staged, workshop


@pytest.fixture(params=["disk", "memory"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StorePath]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "disk":
        yield tmp_path / "run" / "made"
        return
    path = store_path(f"memory://{uuid.uuid4().hex}/run/made")
    assert not isinstance(path, Path)
    yield path
    if path.parent.exists():
        path.fs.rm(path.parent.path, recursive=True)


def test_a_scratch_folder_is_empty_and_goes(folder: StorePath) -> None:
    if isinstance(folder, Path):
        (folder / "old").mkdir(parents=True)
    with scratch_folder(folder) as local:
        assert list(local.iterdir()) == []
        (local / "a").write_bytes(b"x")
    assert not local.exists()


def test_what_is_staged_arrives_when_the_block_ends_well(folder: StorePath) -> None:
    with staged(folder) as local:
        (local / "below").mkdir(parents=True)
        (local / "below" / "a").write_bytes(b"x")
    assert (folder / "below" / "a").read_bytes() == b"x"
    with pytest.raises(ZeroDivisionError), staged(folder) as local:
        (local / "b").write_bytes(bytes(1 // 0))
    assert not (folder / "b").exists()


def test_a_workshop_outlives_a_failure_and_hands_over_at_the_end(folder: StorePath) -> None:
    with pytest.raises(KeyboardInterrupt), workshop(folder) as local:
        local.mkdir(parents=True, exist_ok=True)
        (local / "half").write_bytes(b"1")
        raise KeyboardInterrupt
    if not isinstance(folder, Path):
        assert not (folder / "half").exists()
    with workshop(folder) as local:
        assert (local / "half").read_bytes() == b"1"
        (local / "model").mkdir()
        (local / "model" / "weights").write_bytes(b"2")
    assert (folder / "half").read_bytes() == b"1"
    assert (folder / "model" / "weights").read_bytes() == b"2"
    assert local.exists() == isinstance(folder, Path)


def test_a_fetched_folder_has_its_name_and_files(folder: StorePath) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    with fetched(folder) as local:
        assert local.name == "made"
        assert (local / "config.json").read_bytes() == b"{}"
    assert (folder / "config.json").exists()
