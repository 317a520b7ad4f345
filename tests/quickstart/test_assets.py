import json
from pathlib import Path

import pytest
from PIL import Image

from curate.core.errors import SourceError
from curate.quickstart.pictures import ASSETS, shipped_pictures


def test_at_least_240_pictures_in_at_most_5_mb() -> None:
    files = [file for file in ASSETS.rglob("*") if file.is_file()]
    assert len(shipped_pictures()) >= 240
    assert sum(file.stat().st_size for file in files) <= 5_000_000


def test_every_picture_decodes_is_listed_once_and_has_a_text() -> None:
    pictures = shipped_pictures()
    on_disk = {file.name for file in (ASSETS / "pictures").iterdir()}
    assert len(pictures) == len(on_disk)
    assert {picture.file for picture in pictures} == on_disk
    for picture in pictures:
        assert picture.text.strip() == picture.text != ""
        with Image.open(picture.path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 72 <= min(image.size) <= max(image.size) <= 288
            assert max(image.size) <= 2.6 * min(image.size)


def test_most_pictures_are_photographs() -> None:
    kinds = [picture.kind for picture in shipped_pictures()]
    assert set(kinds) == {"photograph", "drawing"}
    assert kinds.count("photograph") > 0.6 * len(kinds)


def test_licence_and_notice_lie_beside_the_pictures() -> None:
    licence = (ASSETS / "LICENSE").read_text("utf-8")
    notice = (ASSETS / "NOTICE").read_text("utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in licence
    assert "Version 2, June 1991" in licence
    for fact in ("tuxpaint-stamps-default", "2022.06.04-1", "Bill Kendrick", "Changed:"):
        assert fact in notice
    assert f"The {len(shipped_pictures())} pictures" in notice


def test_a_theme_is_the_two_outermost_folders() -> None:
    by_source = {picture.source: picture.theme for picture in shipped_pictures()}
    assert by_source["animals/birds/owl.png"] == ("animals", "birds")
    assert by_source["hobbies/binoculars.png"] == ("hobbies", "")


def test_a_damaged_installation_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"captions\.jsonl cannot be read .* install it again"):
        shipped_pictures(tmp_path)
    (tmp_path / "captions.jsonl").write_text(json.dumps({"file": "a"}) + "\n{", "utf-8")
    with pytest.raises(SourceError, match="cannot be read"):
        shipped_pictures(tmp_path)
