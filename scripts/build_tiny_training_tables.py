"""Build the tables that train curate-tiny beside Flickr8k, from two Debian packages.

    python scripts/build_tiny_training_tables.py STAMPS.deb CLIPART.deb --words TEXTS --out DIR

STAMPS.deb is tuxpaint-stamps-default_2022.06.04-1_all.deb, CLIPART.deb is openclipart-png
1:0.18+dfsg-19, TEXTS are Parquet tables of English texts, for telling English titles from others.

Writes three Parquet tables of name, image (JPEG on white, longest side 256) and captions:
stamps_train (stamps that the quickstart does not ship), stamps_heldout (the shipped ones, to
evaluate with and never to train on) and clipart_train (drawings with sane English titles). `split`
in stamps.py keeps the stamps apart, `Shipped` keeps out drawings like the shipped ones.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import stamps
from numpy.typing import NDArray
from PIL import Image, ImageChops

CLIPART = Path("usr/share/openclipart/png")
LONGEST_SIDE = 256
MAX_PIXELS = 30_000_000
MIN_SIDE = 64
MAX_PER_TITLE = 4
MAX_WORDS = 8
LOOKS_ALIKE = 0.87
"""Correlation of two pictures' 24 x 24 colour thumbnails from which they count as one picture.

Checked by eye: the same drawing in other margins or colours has 0.96 and more, and from 0.90 down
only round fruit and wheels resemble each other.
"""

MIN_COUNT = 2
"""Times a title's every word is seen in the given texts: titles in other languages fall out."""

FOLDERS = (
    "animals/", "buildings/", "containers/", "education/", "electronics/", "food/", "office/",
    "people/", "plants/", "recreation/", "science/", "tools/", "transportation/", "computer/",
)  # fmt: skip
SKIPPED = (
    "computer/icons/", "computer/buttons/", "recreation/games/cards/", "transportation/roadsigns/",
    "transportation/aiga-symbols/", "people/smilies/",
)  # fmt: skip
NOT_TITLES = re.compile(
    r"\b(clip ?art|svg|collection|icons?|example|menu|untitled|hash|general|part)\b", re.I
)
FILLER = {"the", "and", "with", "for", "two", "pair", "has", "this", "from", "red", "blue", "green"}
Row = dict[str, str | bytes | list[str]]
SCHEMA = pa.schema(
    [("name", pa.string()), ("image", pa.binary()), ("captions", pa.list_(pa.string()))]
)


def known_words(files: Sequence[Path]) -> Counter[str]:
    """Count in how many texts of Parquet tables, over all text columns, a word occurs."""
    words: Counter[str] = Counter()
    for file in files:
        schema = pq.read_schema(file)
        names = [field.name for field in schema if is_text(field.type)]
        for column in pq.read_table(file, columns=names).columns:
            values = column.combine_chunks()
            texts = values.flatten() if pa.types.is_list(values.type) else values
            for text in texts.to_pylist():
                words.update(set(re.findall(r"[a-z]+", (text or "").lower())))
    return words


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds texts or lists of texts."""
    value = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def title(info: Mapping[Any, Any], words: Counter[str]) -> str | None:
    """Return a drawing's title as a caption, or None where it is no plain English title."""
    text = re.sub(r"\([^)]*\)", " ", info.get("Title", ""))
    text = re.sub(r"[_/.|\-]+", " ", text)
    text = " ".join(re.sub(r"\b\d+\b|\d+$|#\d+", " ", text).split())
    authors = set(re.findall(r"[a-z]+", info.get("Author", "").lower()))
    kept = [word for word in text.split() if word.lower().strip(",") not in authors - {"a", "the"}]
    text = " ".join(kept)
    found = re.findall(r"[a-z]+", text.lower())
    sane = (
        0 < len(found) <= MAX_WORDS
        and text.isascii()
        and any(len(word) > 2 for word in found)
        and not NOT_TITLES.search(text)
        and all(words[word] >= MIN_COUNT for word in found)
    )
    return text.lower() if sane else None


def cut(image: Image.Image) -> Image.Image:
    """Return a drawing on white, cut to what differs from white."""
    rgb = stamps.on_white(image)
    box = ImageChops.difference(rgb, Image.new("RGB", rgb.size, "white")).getbbox()
    return rgb.crop(box) if box else rgb


class Shipped:
    """What is shipped, to keep anything like it out of the training tables."""

    def __init__(self, shipped: Sequence[stamps.Stamp]) -> None:
        self.thumbnails = np.stack([thumbnail(cut(one.rgb)) for one in shipped])
        drawn = [one.text for one in shipped if one.kind == "drawing"]
        self.words = {word for text in drawn for word in subject(text)}

    def has(self, rgb: Image.Image, text: str) -> bool:
        """Tell whether a shipped picture looks like this one or a shipped drawing shares a word.

        Tux Paint took some of its drawings from Open Clipart, so a word in common is enough.
        """
        mirrored = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        likeness = self.thumbnails @ np.stack([thumbnail(rgb), thumbnail(mirrored)], axis=1)
        return bool(likeness.max() >= LOOKS_ALIKE) or bool(self.words & subject(text))


def thumbnail(rgb: Image.Image) -> NDArray[np.float32]:
    """Return a picture as a vector of mean 0 and length 1: its 24 x 24 colour thumbnail."""
    small = rgb.resize((24, 24), Image.Resampling.LANCZOS)
    values = np.asarray(small, np.float32).reshape(-1)
    values -= values.mean()
    values /= np.float32(np.linalg.norm(values) + 1e-6)
    return values


def subject(text: str) -> set[str]:
    """Return the words of a description that may name its subject, plurals cut."""
    words = stamps.normalised(text).split()
    return {word.removesuffix("s") for word in words if len(word) > 2} - FILLER


def drawings(folder: Path, words: Counter[str], shipped: Shipped) -> Iterator[Row]:
    """Yield clipart rows: sane titles, no repeats, nothing like a shipped picture."""
    used: Counter[str] = Counter()
    seen: set[int] = set()
    for file in sorted(folder.rglob("*.png")):
        path = file.relative_to(folder).as_posix()
        if not path.startswith(FOLDERS) or path.startswith(SKIPPED):
            continue
        with Image.open(file) as image:
            text = title(image.info, words)
            if text is None or used[text] >= MAX_PER_TITLE:
                continue
            if image.width * image.height > MAX_PIXELS:
                continue
            image.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
            rgb = cut(image)
        both = stamps.hashes(rgb)
        if min(rgb.size) < MIN_SIDE or seen.intersection(both) or shipped.has(rgb, text):
            continue
        seen.update(both)
        used[text] += 1
        yield row(f"clipart/{path}", rgb, text)


def row(name: str, rgb: Image.Image, text: str) -> Row:
    """Return one row of a table."""
    image = stamps.jpeg(rgb, longest_side=LONGEST_SIDE, quality=90)
    return {"name": name, "image": image, "captions": [text]}


def write(rows: Sequence[Row], file: Path) -> None:
    """Write rows as Parquet and say how many."""
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file, row_group_size=200)
    print(f"{file}: {len(rows)} rows, {file.stat().st_size / 2**20:.1f} MiB")


def main(arguments: Sequence[str]) -> None:
    """Build the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("stamps", type=Path, help="tuxpaint-stamps-default .deb")
    parser.add_argument("clipart", type=Path, help="openclipart-png .deb")
    parser.add_argument("--words", type=Path, nargs="+", required=True, help="tables of texts")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    Image.MAX_IMAGE_PIXELS = None
    with stamps.unpacked(options.stamps) as folder:
        read = stamps.read_stamps(folder / stamps.STAMPS)
    by_path = {stamp.path: stamp for stamp in read}
    divided = stamps.split(read)
    for name, paths in (("train", divided.training), ("heldout", divided.shipped)):
        chosen = [by_path[path] for path in paths]
        rows = [row(f"stamps/{one.path}", one.rgb, one.text) for one in chosen]
        write(rows, options.out / f"stamps_{name}.parquet")
    shipped = Shipped([by_path[path] for path in divided.shipped])
    with stamps.unpacked(options.clipart) as folder:
        rows = list(drawings(folder / CLIPART, known_words(options.words), shipped))
    write(rows, options.out / "clipart_train.parquet")


if __name__ == "__main__":
    main(sys.argv[1:])
