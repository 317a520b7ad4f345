from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.core.columns import PATH, TEXT_FIELDS, UID
from curate.core.errors import SourceError
from curate.sources._packed import PLACE_FIELDS
from curate.sources._rows import uid
from curate.sources.webdataset import Config
from tests.images.pictures import jpeg
from tests.sources.lists import read_all, register
from tests.sources.packed import write_tar


def read(path: Path, spool: Path, **options: Any) -> list[dict[str, Any]]:
    config = Config(path=str(path), **options)
    assert config.check() == []
    return read_all(config.build(), spool, rows=2)


def test_a_sample_is_a_row_that_says_where_its_picture_lies(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    write_tar(
        root / "b" / "01.tar",
        {"x/1.jpg": jpeg(1), "x/1.txt": "one\n", "x/1.json": json.dumps({"licence": "cc"})},
    )
    write_tar(
        root / "00.tar",
        {
            **{"0.json": json.dumps({"licence": None, "views": 7, "tags": ["a"], "key": "0"})},
            **{"0.seg.png": b"mask", "0.JPG": jpeg(0), "0.txt": "zero ä"},
        },
    )
    got = read(root, tmp_path / "spool")
    assert [row["path"] for row in got] == ["00.tar/0.JPG", "b/01.tar/x/1.jpg"]
    assert [row["texts"] for row in got] == [["zero ä"], ["one"]]
    assert [(row["licence"], row["views"]) for row in got] == [(None, "7"), ("cc", None)]
    assert [row["source_key"] for row in got] == ["0", "x/1"]
    assert got[0]["uid"] == uid("00.tar/0.JPG", ["zero ä"])
    for number, row in enumerate(got):
        shard = (root / row["shard"]).read_bytes()
        body = shard[row["shard_place"] : row["shard_place"] + row["shard_bytes"]]
        assert body == jpeg(number)
    schema = Config(path=str(root)).build().schema()
    extras = [pa.field("licence", pa.string()), pa.field("views", pa.string())]
    assert schema == pa.schema([UID, PATH, *TEXT_FIELDS, *PLACE_FIELDS, *extras])


def test_texts_may_stand_in_the_json(tmp_path: Path) -> None:
    facts = [{"text": ["one", None, " "]}, {"text": "two"}, {"text": 3}, {}]
    members = {
        f"{n}.{ending}": body
        for n, fact in enumerate(facts)
        for ending, body in {"jpg": jpeg(n), "json": json.dumps(fact).encode()}.items()
    }
    root = write_tar(tmp_path / "a.tar", members).parent
    got = read(root, tmp_path / "spool", texts="json", text="text", text_source="human")
    assert [row["texts"] for row in got] == [["one"], ["two"], [], []]
    assert got[0]["text_sources"] == ["human"]
    assert [row["texts"] for row in read(root, tmp_path / "none", texts=None)] == [[]] * 4


def test_named_extras_are_carried_whatever_they_hold(tmp_path: Path) -> None:
    facts = {"boxes": [[1, 2]], "uid": "abc", "shard": "mine", "other": 1}
    write_tar(tmp_path / "a.tar", {"0.jpg": jpeg(0), "0.json": json.dumps(facts)})
    (row,) = read(tmp_path, tmp_path / "spool", extra=["boxes", "uid", "shard", "gone"])
    assert row["boxes"] == "[[1, 2]]"
    assert (row["source_uid"], row["source_shard"], row["gone"]) == ("abc", "mine", None)
    assert row["shard"] == "a.tar"
    assert "other" not in row


@pytest.mark.parametrize(
    ("members", "reason", "detail"),
    [
        ({"1.txt": "alone"}, "no_picture", "1.txt"),
        ({"1.jpg": jpeg(1), "1.txt": b"caf\xe9"}, "not_utf8", "txt: byte 0xe9 at 3"),
        ({"1.jpg": jpeg(1), "1.json": "{"}, "unreadable_row", "json: Expecting property name"),
        ({"1.jpg": jpeg(1), "1.json": '{"a": "\\ud800"}'}, "not_utf8", "json: half of a surrogate"),
        ({"1.jpg": jpeg(1), "1.txt": b"x" * (1 << 21)}, "unreadable_row", "txt: 2097152 bytes"),
        ({"caf\udce9.jpg": jpeg(1)}, "not_utf8", "member 'caf\\udce9'"),
    ],
)
def test_bad_samples_are_rows_with_a_reason(
    members: dict[str, Any], reason: str, detail: str, tmp_path: Path
) -> None:
    write_tar(tmp_path / "a.tar", {"0.jpg": jpeg(0), "0.txt": "fine", **members, "2.jpg": jpeg(2)})
    got = read(tmp_path, tmp_path / "spool")
    assert [row["reason"] for row in got] == [None, reason, None]
    assert got[1]["detail"].startswith(detail)


@pytest.mark.parametrize("cut", ["picture", "header"])
def test_a_tar_that_ends_too_soon_keeps_what_is_whole(cut: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{n}.jpg": jpeg(n) for n in range(3)})
    body = path.read_bytes()
    block = 512 * (1 + -(-len(jpeg(0)) // 512))
    path.write_bytes(body[: 2 * block + (512 + 40 if cut == "picture" else 100)])
    got = read(tmp_path, tmp_path / "spool")
    assert got[-1]["reason"] == "truncated_shard"
    assert [row["path"] for row in got[:2]] == ["a.tar/0.jpg", "a.tar/1.jpg"]
    assert [row["reason"] for row in got[:2]] == [None, None]


def test_links_folders_and_devices_are_passed_over(tmp_path: Path) -> None:
    import tarfile

    path = write_tar(tmp_path / "a.tar", {"0.jpg": jpeg(0)})
    with tarfile.open(path, "a") as out:
        for name, kind in (("1.jpg", tarfile.SYMTYPE), ("d", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    assert [row["path"] for row in read(tmp_path, tmp_path / "spool")] == ["a.tar/0.jpg"]


def test_what_is_no_tar_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"<html>not found</html>" * 100)
    config = Config(path=str(tmp_path))
    with pytest.raises(SourceError, match=r"cannot read .*a\.tar"):
        register(config.build(), tmp_path / "spool")
    assert "cannot read" in config.check()[0]
    assert "no list matches" in Config(path=str(tmp_path / "gone")).check()[0]


def test_a_tar_is_indexed_once_and_known_by_its_content(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    write_tar(root / "a.tar", {"0.jpg": jpeg(0)})
    source = Config(path=str(root)).build()
    (first,) = register(source, tmp_path / "spool")
    before = Path(first.location).stat().st_mtime_ns
    write_tar(root / "0.tar", {"9.jpg": jpeg(9)})
    again = register(Config(path=str(root)).build(), tmp_path / "spool", {"a.tar": first})
    assert [file.name for file in again] == ["a.tar", "0.tar"]
    assert again[0] == first
    assert Path(first.location).stat().st_mtime_ns == before
    write_tar(root / "a.tar", {"1.jpg": jpeg(1)})
    changed = register(Config(path=str(root)).build(), tmp_path / "spool", {"a.tar": first})
    assert changed[0].digest != first.digest
    assert pickle.loads(pickle.dumps(source)).read(first, 0, 1).rows.num_rows == 1
