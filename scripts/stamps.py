"""The stamps of Debian's tuxpaint-stamps-default package, and which of them are shipped.

About 800 cut-out pictures, most of them photographs, each with a description in the first line of
the text file beside it. `split` decides from the package alone which ones the quickstart ships and
which ones may train a model: no group of repeats, variants or look-alikes is on both sides.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from stamps_not_shipped import NOT_SHIPPED

STAMPS = Path("usr/share/tuxpaint/stamps")

DISTINCT_BITS = 12
"""Bits in which shipped pictures differ at least: planted near-duplicates must be the only ones."""

SHORTEST_SIDE = 72
"""Pixels of a shipped picture's shorter side, at least: far from the planted icons."""

MAX_ASPECT = 2.6
"""Longer side over shorter side of a shipped picture, at most: far from the planted banners."""

MAX_WORDS = 10
"""Words of a shipped description, at most: the longer ones are lessons, not descriptions."""

NEAR_DUPLICATE_BITS = 8
"""Bits of 64 in which the hashes of one picture's variants may differ.

Checked by eye on every pair of the package: at 8 all mirrored, recoloured and repeated stamps are
found; unrelated pairs begin at 8 too, and joining them costs nothing.
"""

SHIPPED_SHARE = {"photograph": 0.83, "drawing": 0.45}
"""Share of the eligible groups that is shipped, by what the group shows."""

FLAT_SHARE = 0.22
"""A picture with more than this share of equal neighbouring pixels is a drawing."""

ARTICLES = re.compile(r"^(?:an?|the|our|some) ")


@dataclass(frozen=True)
class Stamp:
    """A picture of the package with its description.

    `path` is relative to the stamps folder; `rgb` is the picture on white, cut to its content;
    `phashes` are the hashes of the picture and of its mirror image.
    """

    path: str
    text: str
    rgb: Image.Image
    phashes: tuple[int, int]
    kind: str


@dataclass(frozen=True)
class Split:
    """Paths that are shipped, and paths that may train a model; some are neither."""

    shipped: tuple[str, ...]
    training: tuple[str, ...]


def on_white(image: Image.Image) -> Image.Image:
    """Return the picture as RGB on a white ground, cut to what is visible plus a narrow margin."""
    rgba = image.convert("RGBA")
    box = rgba.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox()
    ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    ground.alpha_composite(rgba)
    rgb = ground.convert("RGB")
    if box is None:
        return rgb
    margin = round(0.04 * max(box[2] - box[0], box[3] - box[1]))
    framed = Image.new("RGB", (box[2] - box[0] + 2 * margin, box[3] - box[1] + 2 * margin), "white")
    framed.paste(rgb.crop(box), (margin, margin))
    return framed


def perceptual_hash(rgb: Image.Image) -> int:
    """Return 64 bits: the signs of the lowest 8 x 8 frequencies of the 32 x 32 grey picture."""
    grey = np.asarray(rgb.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float32)
    low = cv2.dct(grey)[:8, :8].flatten()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hashes(rgb: Image.Image) -> tuple[int, int]:
    """Return the perceptual hashes of a picture and of its mirror image."""
    mirrored = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return perceptual_hash(rgb), perceptual_hash(mirrored)


def kind_of(path: str, rgb: Image.Image) -> str:
    """Tell photographs from drawings: a drawing has flat areas, a photograph has grain."""
    if "cartoon" in path or path.startswith("symbols/"):
        return "drawing"
    pixels = np.asarray(rgb, np.int16)
    content = pixels.min(axis=2) < 250
    inside = content[:, 1:] & content[:, :-1]
    flat = (pixels[:, 1:] == pixels[:, :-1]).all(axis=2) & inside
    share = flat.sum() / max(1, inside.sum())
    return "drawing" if share > FLAT_SHARE else "photograph"


def read_stamps(folder: Path) -> list[Stamp]:
    """Read every PNG that has a description, sorted by path."""
    stamps = []
    for file in sorted(folder.rglob("*.png")):
        described = file.with_suffix(".txt")
        lines = described.read_text("utf-8").splitlines() if described.exists() else []
        text = lines[0].strip() if lines else ""
        if not text:
            continue
        path = file.relative_to(folder).as_posix()
        with Image.open(file) as image:
            rgb = on_white(image)
        stamps.append(Stamp(path, text, rgb, hashes(rgb), kind_of(path, rgb)))
    return stamps


def normalised(text: str) -> str:
    """Return a description without case, punctuation, remarks in brackets and articles."""
    plain = re.sub(r"\([^)]*\)", " ", text.lower())
    plain = re.sub(r"[^\w\s]", " ", plain)
    return ARTICLES.sub("", " ".join(plain.split()))


def stem(path: str) -> str:
    """Return a picture's folder and name without what marks a variant: numbers and `_mirror`."""
    name = Path(path).with_suffix("").as_posix().lower()
    return re.sub(r"(?:_mirror|[-_]?\d+[a-z]?|_photo)+$", "", name)


def bits_apart(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Return in how many of 64 bits two pictures' hashes differ, mirror images included."""
    return min((one[0] ^ bits).bit_count() for bits in other)


def groups(stamps: Sequence[Stamp]) -> list[list[Stamp]]:
    """Join stamps that share a description, a name or a look; return the groups in path order."""
    parent = list(range(len(stamps)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[str, str], int] = {}
    for index, stamp in enumerate(stamps):
        for key in (("text", normalised(stamp.text)), ("stem", stem(stamp.path))):
            parent[root(index)] = root(first.setdefault(key, index))
        for earlier in range(index):
            if bits_apart(stamp.phashes, stamps[earlier].phashes) <= NEAR_DUPLICATE_BITS:
                parent[root(index)] = root(earlier)
    joined: dict[int, list[Stamp]] = {}
    for index, stamp in enumerate(stamps):
        joined.setdefault(root(index), []).append(stamp)
    return list(joined.values())


def may_ship(stamp: Stamp) -> bool:
    """Tell whether a stamp is a fair pair: a picture of some size that its description names."""
    width, height = stamp.rgb.size
    return (
        not stamp.path.startswith("symbols/")
        and "_mirror" not in stamp.path
        and stamp.path not in NOT_SHIPPED
        and len(stamp.text.split()) <= MAX_WORDS
        and min(width, height) >= SHORTEST_SIDE
        and max(width, height) <= MAX_ASPECT * min(width, height)
    )


def bucket(group: Sequence[Stamp]) -> float:
    """Return a number in [0, 1) from the group's descriptions, the same on every machine."""
    key = "\n".join(sorted({normalised(stamp.text) for stamp in group}))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def split(stamps: Sequence[Stamp]) -> Split:
    """Divide stamps into shipped and training so that no group has members in both."""
    shipped: list[Stamp] = []
    training: list[str] = []
    for group in groups(stamps):
        fair = [stamp for stamp in group if may_ship(stamp)]
        kinds = {stamp.kind for stamp in fair}
        share = max((SHIPPED_SHARE[kind] for kind in kinds), default=0.0)
        if bucket(group) < share:
            shipped += fair
        else:
            training += [stamp.path for stamp in group]
    return Split(tuple(distinct(shipped)), tuple(sorted(training)))


def distinct(stamps: Sequence[Stamp]) -> list[str]:
    """Return the paths, in order, without those that look like an earlier one."""
    kept: list[Stamp] = []
    for stamp in sorted(stamps, key=lambda one: one.path):
        if all(bits_apart(stamp.phashes, other.phashes) >= DISTINCT_BITS for other in kept):
            kept.append(stamp)
    return [stamp.path for stamp in kept]


def jpeg(rgb: Image.Image, *, longest_side: int, quality: int) -> bytes:
    """Encode a picture as JPEG, made smaller where it is larger than `longest_side` pixels."""
    smaller = rgb.copy()
    smaller.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=quality, optimize=True, progressive=False)
    return buffer.getvalue()


@contextmanager
def unpacked(package: Path) -> Iterator[Path]:
    """Unpack a .deb into a folder that is removed afterwards.

    Raises:
        SystemExit: the file is missing or no Debian package.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["dpkg", "-x", str(package), folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{package} cannot be unpacked with dpkg -x: {done.stderr.strip()}")
        yield Path(folder)
