from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.core.columns import PATH, UID, check_fields
from curate.core.stage import Mapped
from curate.stages.download.load import Config
from tests.images.pictures import jpeg


def _load(root: Path, paths: list[str | None], **options: Any) -> Mapped:
    config = Config(root=str(root), **options)
    assert config.check() == []
    uids = [f"{i:032x}" for i in range(len(paths))]
    stage = config.build()
    with stage.ready():
        got = stage(pa.table([uids, paths], schema=pa.schema([UID, PATH])))
    check_fields(got.rows, config.writes, writer="load")
    return got


def test_pictures_come_back_in_row_order(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(i, width=90 + i, height=60))
    got = _load(tmp_path, [f"{i}.jpg" for i in range(12)], resize=30, resize_mode="center_crop")
    assert got.reasons.to_pylist() == [None] * 12
    assert got.rows["original_width"].to_pylist() == [90 + i for i in range(12)]
    assert set(got.rows["width"].to_pylist()) == {30}


def test_every_failure_has_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    (root / "below").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    (tmp_path / "pictures-private").mkdir()
    (tmp_path / "pictures-private" / "a.jpg").write_bytes(jpeg(1))
    (root / "leads_out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "real.jpg").write_bytes(jpeg(1))
    (root / "below" / "alias.jpg").symlink_to(root / "real.jpg")
    (root / "text.jpg").write_text("no picture")
    (root / "large.jpg").write_bytes(jpeg(1) + bytes(20_000))
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    os.mkfifo(root / "pipe.jpg")
    cases: dict[str | None, str | None] = {
        **{None: "no_path", " ": "no_path", "no.jpg": "missing_file", "real.jpg": None},
        **{"below/alias.jpg": None, "below/../real.jpg": None, "leads_out.jpg": "outside_root"},
        **{"../secret.jpg": "outside_root", str(tmp_path / "secret.jpg"): "outside_root"},
        **{"../pictures-private/a.jpg": "outside_root", "text.jpg": "not_an_image"},
        **{"large.jpg": "too_large", "below": "unreadable_file", "pipe.jpg": "unreadable_file"},
        **{"a\x00.jpg": "unreadable_file", "loop.jpg": "unreadable_file"},
        **{"a" * 300 + ".jpg": "unreadable_file"},
    }
    got = _load(root, list(cases), max_bytes=20_000)
    assert dict(zip(cases, got.reasons.to_pylist(), strict=True)) == cases


def test_a_missing_root_is_told_before_anything_runs(tmp_path: Path) -> None:
    assert Config(root=str(tmp_path / "no")).check() == [
        f"root {str(tmp_path / 'no')!r} is no folder"
    ]
    with pytest.raises(ValueError, match="root"):
        Config()
