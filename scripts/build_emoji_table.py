"""Build the table of pictograms that trains curate-tiny, from two npm packages.

    python scripts/build_emoji_table.py FLUENT.tgz GOOGLE.tgz --out DIR

FLUENT.tgz is @lobehub/fluent-emoji-3d 1.1.0 (Microsoft's Fluent Emoji in 3D, MIT), GOOGLE.tgz is
emoji-datasource-google 16.0.0 (Google's Noto Emoji, Apache-2.0, and the names of all, MIT).
``npm pack NAME@VERSION`` fetches them.

Writes DIR/emoji_train.parquet: name, image (JPEG on white, longest side 256) and captions, the
pictogram's name. Only things are taken: animals, plants, food, places, vehicles, objects.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CATEGORIES = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
LONGEST_SIDE = 256
SCHEMA = pa.schema(
    [("name", pa.string()), ("image", pa.binary()), ("captions", pa.list_(pa.string()))]
)
Row = dict[str, str | bytes | list[str]]


def caption_of(entry: dict[str, str]) -> str:
    """Return a pictogram's name as a caption.

    Example:
        >>> caption_of({"name": "GRAPES", "short_name": "grapes"})
        'grapes'
    """
    name = entry.get("name") or entry["short_name"].replace("_", " ").replace("-", " ")
    return name.lower().removesuffix(" symbol")


def jpeg_on_white(body: bytes) -> bytes:
    """Return a picture as JPEG on a white ground, longest side at most ``LONGEST_SIDE``."""
    with Image.open(io.BytesIO(body)) as picture:
        rgba = picture.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    flat = Image.alpha_composite(white, rgba).convert("RGB")
    flat.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    out = io.BytesIO()
    flat.save(out, "JPEG", quality=90)
    return out.getvalue()


def rows(fluent: Path, google: Path) -> list[Row]:
    """Return the table's rows, in the order of the emoji list."""
    found: list[Row] = []
    with tarfile.open(fluent) as ours, tarfile.open(google) as theirs:
        names = set(ours.getnames()) | set(theirs.getnames())
        listed = theirs.extractfile("package/emoji.json")
        assert listed is not None
        for entry in sorted(json.load(listed), key=lambda item: item["sort_order"]):
            if entry["category"] not in CATEGORIES:
                continue
            code = entry["unified"].lower()
            short = code.replace("-fe0f", "")
            for archive, path in (
                (ours, f"package/assets/{code}.webp"),
                (ours, f"package/assets/{short}.webp"),
                (theirs, f"package/img/google/64/{code}.png"),
            ):
                if path not in names or any(row["name"] == path for row in found):
                    continue
                body = archive.extractfile(path)
                assert body is not None
                found.append(
                    {
                        "name": path,
                        "image": jpeg_on_white(body.read()),
                        "captions": [caption_of(entry)],
                    }
                )
    return found


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("fluent", type=Path)
    parser.add_argument("google", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    table = pa.Table.from_pylist(rows(given.fluent, given.google), schema=SCHEMA)
    given.out.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, given.out / "emoji_train.parquet")
    print(f"{table.num_rows} pictograms in {given.out / 'emoji_train.parquet'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
