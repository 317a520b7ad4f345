from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather
from pydantic import ValidationError

from curate.core.columns import TEXT_FIELDS, UID, URL
from curate.core.errors import SourceError
from curate.sources.url_list import Config
from tests.sources.lists import read_all, register

ROWS = [
    {"URL": "http://a.test/1.jpg", "TEXT": "one", "similarity": 0.25, "license": None},
    {"URL": "http://a.test/2.jpg", "TEXT": None, "similarity": 0.5, "license": "by"},
    {"URL": None, "TEXT": "three", "similarity": None, "license": "?"},
    {
        "URL": "http://a.test/4.jpg",
        "TEXT": 'say "hi", then\nstop',
        "similarity": 1.0,
        "license": "x",
    },
    {"URL": " ", "TEXT": "", "similarity": 2.0, "license": "ä"},
]
WANT = [
    ("http://a.test/1.jpg", ["one"], None),
    ("http://a.test/2.jpg", [], None),
    (None, ["three"], "no_url"),
    ("http://a.test/4.jpg", ['say "hi", then\nstop'], None),
    (" ", [], "no_url"),
]


def _csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"' if set(text) & set('",\n') else text

    lines = [delimiter.join(rows[0])]
    lines += [delimiter.join(cell(value) for value in row.values()) for row in rows]
    return "\n".join(lines).encode() + b"\n"


def _write(folder: Path, kind: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path = folder / f"list.{kind}"
    table = pa.Table.from_pylist(rows)
    plain = kind.removesuffix(".gz")
    if plain == "parquet":
        pq.write_table(table, path, row_group_size=2)
    elif plain == "feather":
        feather.write_feather(table, path)
    elif plain in ("arrow", "arrows"):
        new = pa.ipc.new_file if plain == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as out, new(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    elif plain == "jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        path.write_bytes(_csv(rows, "," if plain == "csv" else "\t"))
    if kind.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def _config(path: Path | str, **options: Any) -> Config:
    return Config(**{"path": str(path), "url": "URL", "text": "TEXT", **options})


_TABLES = ["parquet", "arrow", "arrows", "feather", "parquet.gz", "arrow.gz"]
_TEXTS = ["csv", "tsv", "jsonl", "csv.gz", "tsv.gz", "jsonl.gz"]


@pytest.mark.parametrize("kind", _TABLES + _TEXTS)
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str, rows: int) -> None:
    config = _config(_write(tmp_path, kind), quoted=True if "tsv" in kind else None)
    assert config.check() == []
    got = read_all(config.build(), tmp_path / "spool", rows=rows)
    expected = [(url or None, texts, reason) for url, texts, reason in WANT]
    assert [(row["url"], row["texts"], row["reason"]) for row in got] == expected
    assert [row["text_sources"] for row in got] == [["web"] * len(row["texts"]) for row in got]
    assert [row["text_models"] for row in got] == [[None] * len(row["texts"]) for row in got]
    similarity = [row["similarity"] for row in got]
    if kind in _TABLES:
        assert similarity == [0.25, 0.5, None, 1.0, 2.0]
    else:
        assert similarity == ["0.25", "0.5", None, "1.0", "2.0"]
    assert [row["license"] for row in got] == [None, "by", "?", "x", "ä"]


def test_uid_hashes_url_and_texts_with_their_lengths(tmp_path: Path) -> None:
    rows = [{"u": "ab", "a": ["c"]}, {"u": "a", "a": ["bc"]}, {"u": "ab", "a": ["c", " "]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "l.parquet")
    config = Config(path=str(tmp_path / "l.parquet"), url="u", text="a")
    first, second, third = (row["uid"] for row in read_all(config.build(), tmp_path / "spool"))
    spelled = b"".join(len(part).to_bytes(8, "little") + part for part in (b"ab", b"c"))
    assert first == third == hashlib.blake2b(spelled, digest_size=16).hexdigest()
    assert first != second


def test_several_text_columns_and_lists_and_human_texts(tmp_path: Path) -> None:
    table = pa.table(
        {
            "url": ["a", "b", "c"],
            "caption": pa.array([["x", None, "y"], None, []]),
            "alt": pa.array(["z", " ", "w"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "l.parquet")
    config = Config(path=str(tmp_path / "l.parquet"), text=("caption", "alt"), text_source="human")
    got = read_all(config.build(), tmp_path / "spool", rows=2)
    assert [row["texts"] for row in got] == [["x", "y", "z"], [], ["w"]]
    assert [row["text_sources"] for row in got] == [["human"] * 3, [], ["human"]]
    (tmp_path / "l.jsonl").write_text(
        '{"url": "a", "t": ["x", null, 3]}\n{"url": "b", "t": {"x": 1}}\n{"url": 5, "t": "x"}\n'
    )
    got = read_all(Config(path=str(tmp_path / "l.jsonl"), text="t").build(), tmp_path / "spool")
    assert [(row["texts"], row["reason"]) for row in got] == [
        (["x", "3"], None),
        ([], "unreadable_row"),
        ([], "unreadable_row"),
    ]


def test_a_list_without_texts(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("url\nhttp://a.test\n")
    config = Config(path=str(tmp_path / "l.csv"), text=None)
    (row,) = read_all(config.build(), tmp_path / "spool")
    assert (row["url"], row["texts"]) == ("http://a.test", [])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "arrow"])
def test_bytes_that_are_not_utf8_stop_their_row_alone(tmp_path: Path, kind: str) -> None:
    good, bad = b"http://a.test/1", b"caf\xe9"
    path = tmp_path / f"l.{kind}"
    if kind == "csv":
        path.write_bytes(b"url,text,x\n%s,ok,1\n%s,%s,2\n%s,ok,%s\n" % (good, good, bad, good, bad))
    elif kind == "jsonl":
        lines = b'{"url": "%s", "text": "ok", "x": "1"}\n' % good
        lines += b'{"url": "%s", "text": "%s"}\n' % (good, bad)
        path.write_bytes(lines + rb'{"url": "u", "text": "ok", "x": "\ud800"}')
    else:
        raw = pa.array([good, good, good], pa.binary())
        text, x = (pa.array(v, pa.binary()) for v in ([b"ok", bad, b"ok"], [b"1", b"2", bad]))
        columns = [
            pa.Array.from_buffers(pa.string(), 3, column.buffers()) for column in (raw, text, x)
        ]
        table = pa.table(dict(zip(("url", "text", "x"), columns, strict=True)))
        write = pq.write_table if kind == "parquet" else feather.write_feather
        write(table, path)
    got = read_all(Config(path=str(path)).build(), tmp_path / "spool")
    assert [row["reason"] for row in got] == [None, "not_utf8", "not_utf8"]
    assert all(row["detail"] for row in got[1:])
    assert len({row["uid"] for row in got}) >= 2


def test_damaged_lines_stop_alone(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(
        b"\xef\xbb\xbfurl,text\r\n"
        b"http://a.test/1,fine\r\n"
        b"http://a.test/2\r\n"
        b"\r\n"
        b"http://a.test/3,a,b\r\n"
        b'http://a.test/4,"never closed\r\n'
        b"http://a.test/5,fine\r\n"
        b'http://a.test/6,"two\nlines"\r\n'
        b'http://a.test/7,"also never closed\r\n'
        b"http://a.test/8,fine\r\n"
    )
    got = read_all(Config(path=str(tmp_path / "l.csv")).build(), tmp_path / "spool")
    assert [row["url"] and row["url"][-1] for row in got] == [
        *("1", None, None, None, "5", "6", None, "8")
    ]
    assert [row["reason"] for row in got].count("unreadable_row") == 4
    assert got[5]["texts"] == ["two\nlines"]
    assert "1 fields, the header has 2: http://a.test/2" in got[1]["detail"]
    assert "http://a.test/4" in got[3]["detail"]
    (tmp_path / "l.jsonl").write_text(
        '{"url": "a"}\n{"url": \n[1]\nnull\n{"url": "b", "text": "t"}'
    )
    got = read_all(Config(path=str(tmp_path / "l.jsonl")).build(), tmp_path / "spool")
    assert [row["reason"] for row in got] == [None, *["unreadable_row"] * 3, None]


def test_tsv_takes_quotes_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text('url\ttext\nu\t"a" and b\nv\t"open\n')
    got = read_all(Config(path=str(tmp_path / "l.tsv")).build(), tmp_path / "spool")
    assert [row["texts"] for row in got] == [['"a" and b'], ['"open']]


def test_extras_are_carried_renamed_chosen_and_filled(tmp_path: Path) -> None:
    table = pa.table(
        {
            **{"url": ["a"], "text": ["t"], "WIDTH": [3], "uid": ["mine"], "raw": [b"\xff"]},
            **{"nested": [{"a": 1}], "a.b": [1.5], "reason": ["r"], "when": [None]},
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(pa.table({"url": ["b"], "text": ["u"], "a.b": [2]}), tmp_path / "b.parquet")
    source = Config(path=str(tmp_path)).build()
    assert source.schema() == pa.schema(
        [
            *(UID, URL, *TEXT_FIELDS),
            *(pa.field("source_WIDTH", pa.int64()), pa.field("source_uid", pa.string())),
            *(pa.field("a.b", pa.float64()), pa.field("reason", pa.string())),
            pa.field("when", pa.string()),
        ]
    )
    spool = tmp_path / "spool"
    first, second = (
        source.read(file, 0, 1).rows.to_pylist()[0] for file in register(source, spool)
    )
    assert (first["source_WIDTH"], first["source_uid"], first["a.b"]) == (3, "mine", 1.5)
    assert (second["source_WIDTH"], second["a.b"], second["reason"]) == (None, 2.0, None)
    named = Config(path=str(tmp_path), extra=("raw",)).build()
    assert named.schema().names[-1] == "raw"
    assert Config(path=str(tmp_path), extra=()).build().schema().names[-1] == "text_reasons"
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "l.csv").write_text("url,text,reason,detail\nu,t,why,what\n")
    (row,) = read_all(Config(path=str(tmp_path / "one"), extra=("detail",)).build(), spool)
    assert (row["reason"], row["detail"]) == (None, None)  # ours; the list's are checked below
    source = Config(path=str(tmp_path / "one")).build()
    rows = source.read(register(source, spool)[0], 0, 1).rows.to_pylist()[0]
    assert (rows["reason"], rows["detail"]) == ("why", "what")


def test_globs_folders_and_growth(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    for name in ("b/2.csv", "a/1.csv", "notes.txt"):
        (lists / name).parent.mkdir(parents=True, exist_ok=True)
        (lists / name).write_text(f"url,text\n{name},t\n")
    spool = tmp_path / "spool"
    by_folder = register(Config(path=str(lists)).build(), spool)
    assert [file.name for file in by_folder] == ["a/1.csv", "b/2.csv"]
    by_glob = register(Config(path=f"{lists}/*/*.csv").build(), spool)
    assert by_glob == by_folder
    several = Config(path=(str(lists / "b"), str(lists / "a" / "1.csv"))).build()
    assert register(several, spool) == by_folder
    known = {file.name: file for file in reversed(by_folder)}
    (lists / "a" / "0.csv").write_text("url,text\nnew,t\n")
    grown = register(Config(path=str(lists)).build(), spool, known)
    assert [file.name for file in grown] == ["b/2.csv", "a/1.csv", "a/0.csv"]
    assert grown[:2] == list(known.values())
    (lists / "b" / "2.csv").write_text("url,text\nother,t\n")
    changed = register(Config(path=str(lists)).build(), spool, known)
    assert changed[0].digest != known["b/2.csv"].digest


def test_spooling_is_done_once_and_whole(tmp_path: Path) -> None:
    path = _write(tmp_path, "csv")
    spool = tmp_path / "spool"
    (first,) = register(_config(path).build(), spool)
    before = Path(first.location).stat().st_mtime_ns
    assert register(_config(path).build(), spool) == [first]
    assert Path(first.location).stat().st_mtime_ns == before
    (other,) = register(_config(path, extra=()).build(), spool)
    assert other.location != first.location
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    with pytest.raises(SourceError, match="cannot read"):
        register(_config(path.with_suffix(".csv.gz")).build(), spool)
    assert len(list(spool.iterdir())) == 2


def test_a_list_behind_fsspec(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for kind in ("parquet", "csv", "arrow", "jsonl.gz"):
        (tmp_path / kind).mkdir()
        body = _write(tmp_path / kind, kind).read_bytes()
        memory.pipe(f"/{kind}/list.{kind}", body)
        config = _config(f"memory://{kind}/*")
        got = read_all(config.build(), tmp_path / "spool", rows=2)
        assert [row["reason"] for row in got] == [reason for _, _, reason in WANT]
    memory.rm("/", recursive=True)


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("l.parquet", b"PAR1 no", "cannot read"),
        ("l.arrow", b"ARROW1 no", "cannot read"),
        ("l.arrow", b"neither", "cannot read"),
        ("l.csv", b"", "is empty"),
        ("l.csv.gz", b"no gzip", "cannot read"),
        ("l.csv", b"link,TEXT\nu,t\n", "no column 'URL'"),
        ("l.csv", b"url,TEXT\nu,t\n", "did you mean 'url'"),
        ("l.csv", b"URL,texts\nu,t\n", "no column 'TEXT'"),
        ("l.csv", b"URL,TEXT,URL\nu,t,v\n", "2 columns 'URL'"),
        ("l.csv", b"URL,TEXT,width,WIDTH\nu,t,1,2\n", None),
        ("l.csv", b"URL,TEXT,uid,source_uid\nu,t,1,2\n", "two columns would be 'source_uid'"),
        ("l.csv", "URL,TEXT\nu,t\n".encode("utf-16"), "UTF-16"),
        ("l.jsonl", b'{"url": 1}\n', "no column 'URL'"),
        ("l.xlsx", b"PK", "no known format"),
    ],
)
def test_bad_lists_are_clear_errors(
    tmp_path: Path, name: str, body: bytes, word: str | None
) -> None:
    (tmp_path / name).write_bytes(body)
    problems = _config(tmp_path / name).check()
    if word is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert word in problems[0]
        assert name in problems[0]


def test_wrong_types_and_later_files_are_checked_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": [1], "text": ["t"]}), tmp_path / "n.parquet")
    assert "holds int64" in Config(path=str(tmp_path / "n.parquet")).check()[0]
    folder = tmp_path / "lists"
    folder.mkdir()
    pq.write_table(pa.table({"url": ["a"], "text": ["t"], "x": [1]}), folder / "a.parquet")
    pq.write_table(pa.table({"url": ["a"], "txt": ["t"]}), folder / "b.parquet")
    source = Config(path=str(folder)).build()
    with pytest.raises(SourceError, match=r"b\.parquet has no column 'text'.*'txt'"):
        register(source, tmp_path / "spool")
    pq.write_table(pa.table({"url": ["a"], "text": ["t"], "x": ["much"]}), folder / "b.parquet")
    files = register(source, tmp_path / "spool")
    with pytest.raises(SourceError, match="the first file's holds int64"):
        source.read(files[1], 0, 1)


def test_nothing_matches(tmp_path: Path) -> None:
    for path in (tmp_path / "no.parquet", tmp_path / "*.parquet", tmp_path):
        assert "no list matches" in _config(path).check()[0]
    assert "fsspec package" in _config("nosuch://bucket/l.parquet").check()[0]


def test_a_file_that_shrank_is_an_error_and_not_fewer_rows(tmp_path: Path) -> None:
    path = _write(tmp_path, "parquet")
    source = _config(path).build()
    (file,) = register(source, tmp_path / "spool")
    _write(tmp_path, "parquet", ROWS[:2])
    with pytest.raises(SourceError, match="2 rows, row 4 is asked for"):
        source.read(file, 3, 5)


def test_the_path_is_no_part_of_the_identity() -> None:
    assert Config(path="a").identity() == Config(path="b", partition_rows=7).identity()
    assert Config(path="a").identity() != Config(path="a", text_source="human").identity()


@pytest.mark.parametrize("options", [{"text": ""}, {"text": ("a", "a")}, {"path": ""}, {"url": ""}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**{"path": "x", **options})


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=3),
    partition=st.integers(1, 12),
    group=st.integers(1, 9),
    kind=st.sampled_from(["parquet", "arrow", "csv"]),
    order=st.randoms(use_true_random=False),
)
def test_every_row_once_in_order_whatever_the_partitions(
    sizes: list[int], partition: int, group: int, kind: str, order: Any
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lists").mkdir()
        urls = []
        for index, size in enumerate(sizes):
            mine = [f"http://{index}.test/{row}" for row in range(size)]
            urls.append(mine)
            path = folder / "lists" / f"{index}.{kind}"
            table = pa.table(
                {"url": pa.array(mine, pa.string()), "text": pa.array(mine, pa.string())}
            )
            if kind == "parquet":
                pq.write_table(table, path, row_group_size=group)
            elif kind == "arrow":
                with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema) as to:
                    to.write_table(table, max_chunksize=group)
            else:
                path.write_text(
                    "".join(f"{line},{line}\n" for line in ["url", *mine]).replace(
                        "url,url", "url,text"
                    )
                )
        source = Config(path=str(folder / "lists")).build()
        files = register(source, folder / "spool")
        assert [file.rows for file in files] == sizes
        ranges = [
            (index, start, min(start + partition, file.rows))
            for index, file in enumerate(files)
            for start in range(0, file.rows, partition)
        ]
        got = {}
        for index, start, stop in order.sample(ranges, len(ranges)):
            rows = source.read(files[index], start, stop).rows
            got[index, start] = rows["url"].to_pylist()
            assert rows["texts"].to_pylist() == [[url] for url in got[index, start]]
        assert [url for key in sorted(got) for url in got[key]] == [
            u for mine in urls for u in mine
        ]
