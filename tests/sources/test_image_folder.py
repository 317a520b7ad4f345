from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.columns import PATH, TEXT_FIELDS, UID
from curate.core.errors import SourceError
from curate.sources import _folder
from curate.sources._rows import uid
from curate.sources.image_folder import Config
from tests.sources.lists import partitions, read_all, register


def _put(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _read(root: Path, spool: Path, **options: Any) -> list[dict[str, Any]]:
    config = Config(path=str(root), **options)
    assert config.check() == []
    return read_all(config.build(), spool, rows=2)


def test_txt_files_hold_one_text_a_line(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    _put(
        root,
        {
            **{"b/2.JPG": b"", "b/2.txt": "\ufefffirst\r\n\n  \nsecond ä\n"},
            **{"a.png": b"", "c.webp": b"", "c.txt": b"caf\xe9\n", "b/ignored.pdf": b""},
            **{".hidden/3.jpg": b"", "b/.4.jpg": b"", "d.jpg": b"", "d.txt": b"x" * (1 << 21)},
        },
    )
    (root / "folder.jpg").mkdir()
    got = _read(root, tmp_path / "spool", text_source="human")
    assert [row["path"] for row in got] == ["a.png", "c.webp", "d.jpg", "b/2.JPG"]
    assert [row["texts"] for row in got] == [[], [], [], ["first", "second ä"]]
    assert got[3]["text_sources"] == ["human", "human"]
    assert [row["reason"] for row in got] == [None, "not_utf8", "unreadable_row", None]
    assert got[3]["uid"] == uid("b/2.JPG", ["first", "second ä"])
    schema = Config(path=str(root)).build().schema()
    assert schema == pa.schema([UID, PATH, *TEXT_FIELDS])


@pytest.mark.parametrize(
    ("content", "texts", "reason"),
    [
        ('{"caption": ["one", null, "two"]}', ["one", "two"], None),
        ('{"caption": "one"}', ["one"], None),
        ('{"other": "one"}', [], None),
        ('["one"]', ["one"], None),
        ('"one"', ["one"], None),
        ("{", [], "unreadable_row"),
        ('{"caption": 3}', [], "unreadable_row"),
        ('"\\ud800"', [], "not_utf8"),
    ],
)
def test_json_files(tmp_path: Path, content: str, texts: list[str], reason: str | None) -> None:
    root = tmp_path / "pictures"
    _put(root, {"a.jpg": b"", "a.json": content})
    (row,) = _read(root, tmp_path / "spool", texts="json", text="caption")
    assert (row["texts"], row["reason"]) == (texts, reason)


def test_texts_are_never_read_from_outside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    _put(root, {"a.jpg": b""})
    (tmp_path / "secret").write_text("password")
    (root / "a.txt").symlink_to(tmp_path / "secret")
    _put(tmp_path / "elsewhere", {"b.jpg": b""})
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (row,) = _read(root, tmp_path / "spool")
    assert (row["path"], row["texts"], row["reason"]) == ("a.jpg", [], "unreadable_row")


def test_names_that_are_not_utf8_stop_their_row(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    _put(root, {"a.jpg": b""})
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.jpg")).write_bytes(b"")
    got = _read(root, tmp_path / "spool", texts=None)
    assert [(row["path"], row["reason"]) for row in got] == [("a.jpg", None), (None, "not_utf8")]
    assert "udce9" in got[1]["detail"]


def test_new_pictures_become_new_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folder, "_CHUNK", 3)
    root, spool = tmp_path / "pictures", tmp_path / "spool"
    _put(root, {f"{i}.jpg": b"" for i in range(1, 9, 2)})
    config = Config(path=str(root), texts=None)
    before = register(config.build(), spool)
    assert [(file.name, file.rows) for file in before] == [
        *(("images-000000", 3), ("images-000001", 1))
    ]
    known = {file.name: file for file in before}
    assert register(config.build(), spool, known) == before
    _put(root, {"0.jpg": b"", "a/4.jpg": b""})
    (root / "7.jpg").unlink()
    source = config.build()
    after = register(source, spool, known)
    assert after[:2] == before
    paths = [p for m in partitions(source, after, 10) for p in m.rows["path"].to_pylist()]
    assert paths == ["1.jpg", "3.jpg", "5.jpg", "7.jpg", "0.jpg", "a/4.jpg"]
    Path(before[0].location).unlink()
    with pytest.raises(SourceError, match="is gone"):
        register(config.build(), spool, known)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_beside_the_pictures(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "pictures"
    lines = [
        {"file_name": "a.jpg", "caption": "one", "author": "x"},
        {"file_name": "a.jpg", "caption": "two", "author": "y"},
        {"file_name": "sub/b.jpg", "caption": None, "author": None},
        {"file_name": None, "caption": "lost", "author": None},
        {"file_name": "a.jpg", "caption": "later", "author": "z"},
    ]
    root.mkdir()
    name = f"metadata.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(lines), root / name)
    elif kind == "jsonl":
        (root / name).write_text("\n".join(json.dumps(line) for line in lines))
    else:
        rows = [",".join(value or "" for value in line.values()) for line in lines]
        (root / name).write_text("\n".join(["file_name,caption,author", *rows]))
    got = _read(root, tmp_path / "spool", texts=name, text="caption")
    assert [(row["path"], row["texts"], row["reason"]) for row in got] == [
        ("a.jpg", ["one", "two"], None),
        ("sub/b.jpg", [], None),
        (None, ["lost"], "no_path"),
        ("a.jpg", ["later"], None),
    ]
    assert [row["author"] for row in got] == ["x", None, None, "z"]
    source = Config(path=str(root), texts=name, text="caption").build()
    (file,) = register(source, tmp_path / "spool")
    assert register(source, tmp_path / "spool", {file.name: file}) == [file]


def test_bad_folders_are_clear_errors(tmp_path: Path) -> None:
    assert "does not exist" in Config(path=str(tmp_path / "no")).check()[0]
    (tmp_path / "file").write_text("")
    assert "is no folder" in Config(path=str(tmp_path / "file")).check()[0]
    with pytest.raises(SourceError, match="holds no picture"):
        register(Config(path=str(tmp_path)).build(), tmp_path / "spool")
    assert "no list matches" in Config(path=str(tmp_path), texts="no.csv").check()[0]
    (tmp_path / "t.csv").write_text("file,text\n")
    problem = Config(path=str(tmp_path), texts="t.csv").check()[0]
    assert "no column 'file_name'" in problem and "'file'" in problem


@settings(max_examples=30, deadline=None)
@given(
    names=st.sets(st.from_regex(r"[ab]{1,2}(/[ab]{1,2}){0,2}", fullmatch=True), max_size=12),
    rows=st.integers(1, 5),
    chunk=st.integers(1, 4),
)
def test_every_picture_once_whatever_the_partitions(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], rows: int, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    root = folder / "pictures"
    _put(root, {f"{name}.jpg": b"" for name in names} | {f"{n}.txt": n for n in names})
    root.mkdir(exist_ok=True)
    source = Config(path=str(root)).build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_folder, "_CHUNK", chunk)
        try:
            files = register(source, folder / "spool")
        except SourceError:
            assert not names
            return
    got = [row for mapped in partitions(source, files, rows) for row in mapped.rows.to_pylist()]
    assert sorted(row["path"] for row in got) == sorted(f"{name}.jpg" for name in names)
    assert all(row["texts"] == [row["path"].removesuffix(".jpg")] for row in got)
    again = register(Config(path=str(root)).build(), folder / "other", {})
    assert [m.rows["path"].to_pylist() for m in partitions(source, again, 100)] == [
        [row["path"] for row in got]
    ]
