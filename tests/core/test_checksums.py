from __future__ import annotations

import hashlib
from pathlib import Path

from curate.core.checksums import file_digest, file_facts, folder_digest


def test_a_files_facts(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert file_digest(path) == digest
    assert file_facts(path) == {"bytes": 3, "sha256": digest}


def test_a_folders_digest_is_of_what_sha256sum_prints() -> None:
    printed = b"1111  a.jpg\n2222  b.jpg\n"
    assert folder_digest({"b.jpg": "2222", "a.jpg": "1111"}) == hashlib.sha256(printed).hexdigest()
    assert folder_digest({}) == hashlib.sha256(b"").hexdigest()
    assert folder_digest({"a.jpg": "1111"}) != folder_digest({"b.jpg": "1111"})
