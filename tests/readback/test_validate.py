from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.core.atomic import read_json, write_json
from curate.core.checksums import file_facts
from curate.core.errors import EngineError, SourceError
from curate.readback import validate as validation
from curate.readback.formats import find_shards
from curate.readback.validate import LOADERS, Verdict, validate
from tests.exporters.material import chosen, export, small_table
from tests.images.pictures import jpeg
from tests.recipes import curate

#: Formats whose loader lives beside our dependencies.
HERE = ("webdataset", "parquet", "hf_datasets", "lance", "blip_json", "llava_json")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an export of each format, two samples a shard."""
    root = tmp_path_factory.mktemp("exports")
    table = small_table(root / "run")
    for kind in (*HERE, "mds"):
        export(kind, table, chosen(table), root / kind, shard_rows=2)
    return root


def tar(path: Path, members: dict[str, bytes]) -> Path:
    """Write a tar of somebody else's, without a manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as out:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
    return path


def fault_of(verdict: Verdict) -> tuple[str, int | None, str | None, str]:
    assert verdict.fault is not None
    fault = verdict.fault
    return fault.shard, fault.sample, fault.key, fault.problem


@pytest.mark.parametrize("kind", HERE)
def test_every_sample_is_read_back_by_the_formats_loader(kind: str, exports: Path) -> None:
    verdict = validate(exports / kind)
    assert verdict.fault is None
    assert (verdict.kind, verdict.samples, verdict.shards) == (kind, 5, 3)
    assert verdict.checksums
    assert verdict.loader.split()[0] in ("pylance", "pillow", *LOADERS[kind])


@pytest.mark.parametrize("kind", (*HERE, "mds"))
def test_a_changed_byte_is_found_by_its_checksum(kind: str, exports: Path, tmp_path: Path) -> None:
    folder = copied(exports / kind, tmp_path)
    name = find_shards(folder).files[1]
    body = bytearray((folder / name).read_bytes())
    body[len(body) // 2] ^= 1
    (folder / name).write_bytes(body)
    shard, sample, _, problem = fault_of(validate(folder))
    assert (shard, sample) == (name, None)
    assert problem.startswith("SHA-256")


@pytest.mark.parametrize("kind", ["webdataset", "blip_json"])
def test_missing_and_short_files_are_found(kind: str, exports: Path, tmp_path: Path) -> None:
    folder = copied(exports / kind, tmp_path)
    name = find_shards(folder).files[2]
    (folder / name).write_bytes(b"")
    assert "0 bytes" in fault_of(validate(folder))[3]
    (folder / name).unlink()
    assert fault_of(validate(folder)) == (name, None, None, "the file is missing")


def test_a_changed_picture_file_is_found(exports: Path, tmp_path: Path) -> None:
    folder = copied(exports / "llava_json", tmp_path)
    next((folder / "images" / "00001").iterdir()).write_bytes(jpeg(77))
    shard, _, _, problem = fault_of(validate(folder))
    assert (shard, problem) == (
        "00001.json",
        "the pictures in images/00001 are not those of the manifest",
    )


def test_counts_are_compared_with_the_manifest(exports: Path, tmp_path: Path) -> None:
    folder = copied(exports / "webdataset", tmp_path)
    first = validate(folder / "00000.tar")
    assert (first.fault, first.samples, first.shards) == (None, 2, 1)
    members = {"a.jpg": jpeg(0), "a.txt": b"one text"}
    tar(folder / "00001.tar", members)
    manifest = read_json(folder / "manifest.json")
    manifest["shards"][1] |= file_facts(folder / "00001.tar")
    write_json(folder / "manifest.json", manifest)
    shard, sample, _, problem = fault_of(validate(folder))
    assert (shard, sample) == ("00001.tar", None)
    assert problem == "2 samples are due, the loader gave 1"


@pytest.mark.parametrize(
    ("members", "sample", "key", "problem"),
    [
        ({"b.jpg": jpeg(1)}, 1, "b", "it has no text"),
        ({"b.jpg": jpeg(1), "b.txt": b" \n"}, 1, "b", "its text is empty"),
        ({"b.jpg": b"<html>", "b.txt": b"two"}, 1, "b", "its picture is no good: not_an_image"),
        ({"b.txt": b"two"}, 1, "b", "its picture is no good: empty_body"),
        ({"b.jpg": jpeg(1)[:900], "b.txt": b"two"}, 1, "b", "its picture is no good: trunc"),
        ({"b.jpg": jpeg(1), "b.txt": b"\xff"}, 1, None, "the loader raised UnicodeDecodeError"),
        ({"a.txt": b"again"}, 0, None, "the loader raised ValueError"),
    ],
)
def test_the_first_bad_sample_of_somebodys_tar_is_named(
    members: dict[str, bytes], sample: int, key: str | None, problem: str, tmp_path: Path
) -> None:
    good = {"a.jpg": jpeg(0), "a.txt": b"one"}
    folder = tar(tmp_path / "shards" / "part-0.tar", good).parent
    path = folder / "part-1.tar"
    with tarfile.open(path, "w") as out:
        for name, body in [*good.items(), *members.items()]:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
    verdict = validate(folder)
    shard, at, found, said = fault_of(verdict)
    assert (shard, at, found) == ("part-1.tar", sample, key)
    assert said.startswith(problem)
    assert not verdict.checksums
    assert verdict.shards == 1


def test_a_truncated_tar_is_a_fault_of_its_last_sample(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"a.jpg": jpeg(0), "a.txt": b"one", "b.jpg": jpeg(1)})
    path.write_bytes(path.read_bytes()[: 512 * 3])
    shard, _, _, problem = fault_of(validate(tmp_path))
    assert shard == "a.tar"
    assert "ReadError" in problem or "no good" in problem or "due" in problem


def test_hf_datasets_without_features_is_a_fault(exports: Path, tmp_path: Path) -> None:
    folder = copied(exports / "hf_datasets", tmp_path)
    (folder / "manifest.json").unlink()
    (folder / "README.md").unlink()
    path = folder / "00001.parquet"
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[b"huggingface"])
    metadata["info"]["features"]["image"] = {
        "bytes": {"dtype": "binary", "_type": "Value"},
        "path": {"dtype": "string", "_type": "Value"},
    }
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(metadata)}), path)
    assert "'image' is no Image feature" in fault_of(validate(folder))[3]


def test_uids_out_of_order_are_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "subset.npy"
    np.save(path, np.array([(1, 2), (1, 3), (0, 9)], np.dtype("u8,u8")))
    assert "not sorted" in fault_of(validate(tmp_path))[3]
    np.save(path, np.array([(0, 9), (1, 2)], np.dtype("u8,u8")))
    verdict = validate(path)
    assert (verdict.fault, verdict.kind, verdict.samples) == (None, "datacomp_uids", 2)
    np.save(path, np.arange(3))
    assert "int64, not u8,u8" in fault_of(validate(path))[3]


LOADER = """
import os, time
LIBRARY = "numpy"
def read(folder, shards):
    yield shards[0]
    yield "a", "one", None
    {then}
"""


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        ("time.sleep(60)", "gave nothing for 1.5 s: it hangs"),
        ("os._exit(3)", "died: it said nothing"),
        ("os.write(2, b'Fatal: bad shard\\n'); os.abort()", "died: Fatal: bad shard"),
        ("print('noise'); raise KeyError('fname')", "raised KeyError: 'fname'"),
    ],
)
def test_a_loader_that_dies_or_hangs_is_a_fault_not_an_end(
    then: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaders = tmp_path / "loaders"
    loaders.mkdir()
    from curate.readback import process

    child = (process._LOADERS / "_child.py").read_text()
    (loaders / "_child.py").write_text(child)
    (loaders / "webdataset.py").write_text(LOADER.format(then=then))
    monkeypatch.setattr(process, "_LOADERS", loaders)
    tar(tmp_path / "set" / "x.tar", {"a.jpg": jpeg(0), "a.txt": b"one"})
    shard, sample, _, said = fault_of(validate(tmp_path / "set", timeout_s=1.5))
    assert (shard, sample, said) == ("x.tar", 1, f"the loader {problem}")


def test_a_loader_that_skips_a_sample_is_told_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.readback import process

    loaders = tmp_path / "loaders"
    loaders.mkdir()
    (loaders / "_child.py").write_text((process._LOADERS / "_child.py").read_text())
    skips = "yield None, 'three', None"
    (loaders / "open_clip.py").write_text(
        LOADER.replace('"a", "one"', 'None, "one"').format(then=skips)
    )
    monkeypatch.setattr(process, "_LOADERS", loaders)
    words = {"a": b"one", "b": b"two", "c": b"three"}
    members = {
        f"{key}.{s}": b for key, t in words.items() for s, b in {"jpg": b"x", "txt": t}.items()
    }
    tar(tmp_path / "set" / "x.tar", members)
    said = fault_of(validate(tmp_path / "set", loader="open_clip"))
    assert said == ("x.tar", 1, "b", "3 samples are due, the loader gave 2")


def test_libraries_that_are_not_there_are_told(exports: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot import the loader 'streaming'.*--python"):
        validate(exports / "mds")
    with pytest.raises(EngineError, match="cannot start /nowhere/python"):
        validate(exports / "mds", python=Path("/nowhere/python"))
    with pytest.raises(SourceError, match="no loader 'open_klip' reads webdataset"):
        validate(exports / "webdataset", loader="open_klip")


def test_folders_without_shards_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        validate(tmp_path / "gone")
    (tmp_path / "notes.json").write_text("{}")
    pq.write_table(pa.table({"number": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="holds no shards that are known"):
        validate(tmp_path)
    with pytest.raises(SourceError, match="holds no shards"):
        validate(tmp_path / "notes.json")
    write_json(tmp_path / "index.json", {"name": "else"})
    with pytest.raises(SourceError, match="no index of MDS shards"):
        validate(tmp_path)
    write_json(tmp_path / "manifest.json", {"made_from": {"kind": "mine"}, "shards": []})
    with pytest.raises(SourceError, match="no loader is known for shards of kind 'mine'"):
        validate(tmp_path)


def test_the_first_fault_is_told_however_many_threads_look(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for number in range(60):
        bad = number in (41, 44, 59)
        members |= {f"{number:02d}.jpg": b"<html>" if bad else jpeg(number % 3)}
        members |= {f"{number:02d}.txt": b"words"}
    tar(tmp_path / "x.tar", members)
    for threads in (1, 3):
        verdict = validate(tmp_path, threads=threads)
        assert fault_of(verdict)[:3] == ("x.tar", 41, "41")
        assert verdict.samples == 41


@pytest.mark.parametrize("kind", [*HERE, "mds"])
def test_formats_are_known_without_a_manifest(kind: str, exports: Path, tmp_path: Path) -> None:
    folder = copied(exports / kind, tmp_path)
    (folder / "manifest.json").unlink()
    at = folder / "pairs.lance" if kind == "lance" else folder
    found = find_shards(at)
    assert (found.kind, found.entries) == (kind, ())
    assert len(found.files) == (1 if kind == "llava_json" else 3)
    if kind != "mds":
        verdict = validate(at)
        assert (verdict.fault, verdict.samples) == (None, 5)


def test_the_command_has_exit_codes_and_json(exports: Path, tmp_path: Path) -> None:
    answer = curate("validate", exports / "parquet")
    assert answer.exit_code == 0
    assert answer.output.startswith("valid: 5 samples in 3 parquet shard(s), read by pyarrow")
    folder = copied(exports / "parquet", tmp_path)
    (folder / "00002.parquet").unlink()
    answer = curate("validate", folder, "--json")
    assert answer.exit_code == 1
    said: dict[str, Any] = json.loads(answer.output)
    assert said["valid"] is False
    assert said["fault"] == {
        **{"shard": "00002.parquet", "sample": None, "key": None},
        "problem": "the file is missing",
    }
    answer = curate("validate", tmp_path / "gone")
    assert answer.exit_code == 2
    assert "does not exist" in answer.output


def test_every_format_has_a_loader_of_its_own() -> None:
    from curate.core.families import kinds

    assert set(LOADERS) == set(kinds("exporters"))
    folder = Path(validation.__file__).parent / "loaders"
    there = {path.stem for path in folder.glob("[a-z]*.py")}
    assert there == {name for names in LOADERS.values() for name in names}


def copied(folder: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, tmp_path / folder.name))


# -- trainers that cannot live beside our dependencies -----------------------------------------


def other_python(variable: str) -> Path:
    """Return the interpreter that docs/export.md has one make and name; skips without one."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no interpreter; docs/export.md tells how to make one")
    return Path(os.environ[variable])


@pytest.mark.slow
def test_streaming_reads_every_sample(exports: Path, tmp_path: Path) -> None:
    python = other_python("CURATE_STREAMING_PYTHON")
    verdict = validate(exports / "mds", python=python)
    assert (verdict.fault, verdict.samples) == (None, 5)
    assert verdict.loader.startswith("mosaicml-streaming")
    folder = copied(exports / "mds", tmp_path)
    (folder / "manifest.json").unlink()
    path = folder / "shard.00001.mds"
    path.write_bytes(path.read_bytes()[:-40])  # cuts the last sample of the shard
    shard, sample, _, _ = fault_of(validate(folder, python=python))
    assert shard == "shard.00001.mds"
    assert sample in (0, 1, None)


@pytest.mark.slow
def test_open_clips_training_reader_reads_every_sample(exports: Path, tmp_path: Path) -> None:
    python = other_python("CURATE_OPEN_CLIP_PYTHON")
    verdict = validate(exports / "webdataset", loader="open_clip", python=python)
    assert (verdict.fault, verdict.samples) == (None, 5)
    assert verdict.loader.startswith("open_clip_torch")
    good = {"a.jpg": jpeg(0), "a.txt": b"one", "c.jpg": jpeg(2), "c.txt": b"three"}
    tar(tmp_path / "set" / "x.tar", {**good, "b.jpg": jpeg(1)})
    said = fault_of(validate(tmp_path / "set", loader="open_clip", python=python))
    assert said == ("x.tar", 2, "b", "3 samples are due, the loader gave 2")


def test_this_interpreter_is_the_default(exports: Path) -> None:
    here = validate(exports / "parquet")
    assert validate(exports / "parquet", python=Path(sys.executable)) == here
