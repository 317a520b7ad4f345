from __future__ import annotations

import pickle
import uuid
from pathlib import Path

import pytest

from curate.core.errors import StoreError
from curate.core.location import matching, store_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("runs/a", Path("runs/a")),
        ("/runs/a b", Path("/runs/a b")),
        ("file:///runs/a", Path("/runs/a")),
        ("local:///runs/a", Path("/runs/a")),
        ("C:/odd/name", Path("C:/odd/name")),
    ],
)
def test_a_path_is_a_path(text: str, path: Path) -> None:
    assert store_path(text) == path
    assert isinstance(store_path(text), Path)
    assert store_path(path) is path


def test_a_url_is_one_also_after_a_journey() -> None:
    path = store_path("memory://a/run/")
    assert str(path / "plan.json") == "memory://a/run/plan.json"
    assert path.name == "run"
    again = pickle.loads(pickle.dumps(path))
    assert str(again) == str(path)
    assert again.storage_options == {"use_listings_cache": False}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nosuch://a/b", r"cannot open nosuch://a/b: .*install the fsspec package"),
        ("https://example.org/run", "cannot hold a run: give a local folder"),
        ("simplecache::s3://a/b", "cannot hold a run: give a local folder"),
    ],
)
def test_what_cannot_hold_a_run_is_refused(text: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        store_path(text)


def test_globs_on_a_disk_and_elsewhere(tmp_path: Path) -> None:
    names = ("b.jsonl", "a.jsonl", "c.txt", "d/e.jsonl")
    for root in (tmp_path, store_path(f"memory://{uuid.uuid4().hex}")):
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"{}")
        found = [str(path) for path in matching(f"{root}/*.jsonl")]
        assert found == [f"{root}/a.jsonl", f"{root}/b.jsonl"]
        assert [path.read_bytes() for path in matching(f"{root}/c.txt")] == [b"{}"]
        assert matching(f"{root}/nothing") == []
