"""Whatever a tar of samples holds: rows with a reason or a picture, or a ``SourceError``."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from curate.core.errors import SourceError
from curate.sources.webdataset import Config
from curate.stages.download.unpack import Config as UnpackConfig
from tests.fuzz.mutate import COUNT, damaged
from tests.images.pictures import jpeg
from tests.sources.packed import write_tar

_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def seeds(folder: Path) -> list[bytes]:
    """Return good tars: short names, and names that each format has to write at length."""
    folder.mkdir()
    small = jpeg(0, width=16, height=16)
    plain = {"a.jpg": small, "a.txt": "one", "a.json": '{"n": [1, null], "u": "\\u00e4"}'}
    made = [write_tar(folder / "plain.tar", {**plain, "b.jpg": small, "b.txt": ""})]
    for name, kind in _FORMATS.items():
        path = folder / f"{name}.tar"
        long = "ä/" + "n" * (60 if name == "ustar" else 160)
        with tarfile.open(path, "w", format=kind) as out:
            for member in ("a.jpg", "plain.tar"):
                source = folder / "a.jpg"
                source.write_bytes(small)
                out.add(source, arcname=f"{long}.{member.rpartition('.')[2].replace('tar', 'jpg')}")
        made.append(path)
    return [path.read_bytes() for path in made]


def check(folder: Path, body: bytes) -> bool:
    """Read a tar and unpack it; returns whether it could be read."""
    (folder / "x.tar").write_bytes(body)
    spool = folder / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    source = Config(path=str(folder / "x.tar")).build()
    try:
        schema = source.schema()
        (file,) = source.files(spool, {})
    except SourceError as error:
        assert "x.tar" in str(error)
        return False
    mapped = source.read(file, 0, file.rows)
    assert mapped.rows.schema.equals(schema), body
    assert mapped.reasons is not None
    mapped.rows.validate(full=True)
    stage = UnpackConfig(root=str(folder), max_bytes=10**6).build()
    with stage.ready():
        taken = stage(mapped.rows)
    assert taken.reasons is not None and taken.rows.num_rows == file.rows
    pairs = zip(taken.reasons.to_pylist(), taken.rows["image"].to_pylist(), strict=True)
    assert all((reason is None) == (image is not None) for reason, image in pairs), body
    return True


def test_good_tars_are_read(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    assert all(check(tmp_path / "work", body) for body in seeds(tmp_path / "seeds"))


@pytest.mark.parametrize(
    "count", [300, pytest.param(COUNT // 10, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_damaged_tars_are_rows_or_told(count: int, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    good = seeds(tmp_path / "seeds")
    readable = [check(tmp_path / "work", body) for body in damaged(good, count, seed=5)]
    assert any(readable) and not all(readable)
