from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import SourceError
from curate.core.pairs import Pair, TableConfig, open_tables
from curate.core.shard_pairs import ShardSource


def shard(path: Path, members: list[tuple[str, bytes | str | dict[str, Any]]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            body = json.dumps(content) if isinstance(content, dict) else content
            data = body.encode() if isinstance(body, str) else body
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


TEXTS = [
    {"text": "a dog", "source": "web", "filter_itm": 0.25},
    {"text": "a red dog", "source": "synthetic", "filter_itm": 0.75},
]


@pytest.fixture
def shards(tmp_path: Path) -> str:
    first = [
        ("a.jpg", b"one"),
        ("a.txt", " a dog "),
        ("b.txt", "no picture"),
        ("c.png", b"no text"),
    ]
    shard(tmp_path / "0.tar", first)
    second = [
        ("x/d.json", {"uid": "U", "texts": TEXTS}),
        ("x/d.WEBP", b"two"),
        ("x/d.txt", "a dog"),
    ]
    shard(tmp_path / "1.tar", second)
    return str(tmp_path / "*.tar")


def test_samples_are_read_by_number_wherever_they_lie(shards: str) -> None:
    source = ShardSource(TableConfig(path=shards, scores="filter_itm"))
    plain = Pair("a", b"one", ["a dog"], (), (None,))
    full = Pair("U", b"two", ["a dog", "a red dog"], ("web", "synthetic"), (0.25, 0.75))
    assert source.read([1, 0, 1]) == [full, plain, full]
    assert len(source) == 2
    assert list(source.texts()) == ["a dog", "a dog", "a red dog"]
    assert source.num_texts() == [1, 2]
    assert source.best_scores() == [None, 0.75]


def test_texts_are_read_without_pictures_and_copies_open_their_own_files(shards: str) -> None:
    source = ShardSource(TableConfig(path=shards))
    read = source.read([1, 0])
    assert source.read_texts([1, 0]) == [pair._replace(image=b"") for pair in read]
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read([1, 0]) == read
    joined = open_tables([TableConfig(path=shards), TableConfig(path=shards)])
    assert joined.read_texts([3, 0]) == source.read_texts([1, 0])


def test_shards_are_tables_like_others(shards: str) -> None:
    source = open_tables([TableConfig(path=shards), TableConfig(path=shards, repeat=2)])
    assert len(source) == 6
    assert [pair.image for pair in source.read([5, 2])] == [b"two", b"one"]
    assert source.read([0])[0].scores == ()


def test_more_shards_than_are_held_open(tmp_path: Path) -> None:
    for number in range(40):
        shard(tmp_path / f"{number:02}.tar", [("k.jpg", b"%d" % number), ("k.txt", "t")])
    source = ShardSource(TableConfig(path=str(tmp_path / "*.tar")))
    for _ in range(2):
        pairs = source.read(range(40))
        assert [pair.image for pair in pairs] == [b"%d" % number for number in range(40)]


def test_what_is_wrong_is_said(tmp_path: Path, shards: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        ShardSource(TableConfig(path=str(tmp_path / "none*.tar")))
    with pytest.raises(SourceError, match="leave out captions"):
        ShardSource(TableConfig(path=shards, captions="text"))
    source = ShardSource(TableConfig(path=shards))
    whole = (tmp_path / "1.tar").read_bytes()
    (tmp_path / "1.tar").write_bytes(whole[:600])
    with pytest.raises(SourceError, match="was cut off"):
        source.read([1])
    (tmp_path / "2.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(SourceError, match=r"2\.tar cannot be read as a tar"):
        ShardSource(TableConfig(path=str(tmp_path / "2.tar")))
