from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from curate.images import ImageFault, decode, perceptual_hash, prepare, read_hash_list
from tests.images.pictures import encoded, jpeg, scene


def _list(tmp_path: Path, *lines: str, max_distance: int = 4) -> Path:
    path = tmp_path / "listed.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512"])
def test_bytes_are_found_by_every_type(tmp_path: Path, kind: str) -> None:
    body = jpeg(1)
    digest = hashlib.new(kind, body).hexdigest().upper()
    listed = read_hash_list(_list(tmp_path, "# known", "", f" {kind}:{digest} # a"), max_distance=0)
    with pytest.raises(ImageFault, match=f"listed_hash: its {kind} is listed"):
        prepare(body, size=None, mode="no", listed=listed)
    prepare(jpeg(2), size=None, mode="no", listed=listed)


def test_looks_are_found_within_the_distance(tmp_path: Path) -> None:
    look = perceptual_hash(scene(5))
    assert look is not None
    path = _list(tmp_path, f"phash:{look ^ 0b111:016x}", f"phash:{look ^ (2**40 - 1):016x}")
    small = encoded(scene(5), "PNG")
    own = perceptual_hash(decode(small))
    assert own == look
    with pytest.raises(ImageFault, match="listed_hash: 3 bits"):
        prepare(small, size=32, mode="border", listed=read_hash_list(path, max_distance=3))
    prepare(small, size=32, mode="border", listed=read_hash_list(path, max_distance=2))


def test_listed_bytes_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    body = b"not even a picture"
    path = _list(tmp_path, f"md5:{hashlib.md5(body).hexdigest()}")
    with pytest.raises(ImageFault, match="listed_hash"):
        prepare(body, size=None, mode="no", listed=read_hash_list(path, max_distance=0))


@pytest.mark.parametrize(
    "line", ["abc", "md5:abc", "md6:" + "0" * 32, "sha256:" + "0" * 32, "phash:" + "g" * 16, ":"]
)
def test_lines_that_are_no_hash_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"line 2: .* is not TYPE:HEX"):
        read_hash_list(_list(tmp_path, "# first", line), max_distance=0)
