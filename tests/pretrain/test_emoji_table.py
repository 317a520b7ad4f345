"""The table of pictograms: things alone, once each, on white."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import build_emoji_table as emoji

LISTED = [
    {"unified": "1F34E", "name": "RED APPLE", "category": "Food & Drink", "sort_order": 2},
    {"unified": "2708-FE0F", "name": "AIRPLANE", "category": "Travel & Places", "sort_order": 1},
    {"unified": "1F600", "name": "GRINNING FACE", "category": "Smileys & Emotion", "sort_order": 0},
]


def picture(kind: str, *, side: int) -> bytes:
    out = io.BytesIO()
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    canvas.paste((200, 0, 0, 255), (0, 0, side // 2, side))
    canvas.save(out, kind)
    return out.getvalue()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


def test_things_in_the_list_s_order_from_both_vendors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webp, png = picture("WEBP", side=300), picture("PNG", side=64)
    fluent = archive(
        tmp_path / "f.tgz",
        {f"assets/{code}.webp": webp for code in ("1f34e", "2708-fe0f", "1f600")},
    )
    google = archive(
        tmp_path / "g.tgz",
        {"emoji.json": json.dumps(LISTED).encode(), "img/google/64/1f34e.png": png},
    )
    assert emoji.main([str(fluent), str(google), "--out", str(tmp_path / "out")]) == 0
    assert "3 pictograms" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "out" / "emoji_train.parquet").to_pylist()
    assert [row["captions"] for row in table] == [["airplane"], ["red apple"], ["red apple"]]
    assert [Path(row["name"]).suffix for row in table] == [".webp", ".webp", ".png"]
    for row, side in zip(table, (256, 256, 64), strict=True):
        with Image.open(io.BytesIO(row["image"])) as image:
            assert (image.format, image.size) == ("JPEG", (side, side))
            red, white = image.getpixel((2, side // 2)), image.getpixel((side - 3, side // 2))
        assert red[0] > 180
        assert red[1] < 40
        assert min(white) > 245


def test_a_name_that_is_missing_is_made_of_the_short_one() -> None:
    assert emoji.caption_of({"name": "", "short_name": "tuba-like_horn"}) == "tuba like horn"
    assert emoji.caption_of({"name": "WASTEBASKET SYMBOL"}) == "wastebasket"
