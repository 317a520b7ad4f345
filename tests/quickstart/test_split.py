"""The split of the stamps: what is shipped never trains a model, nor does anything like it."""

import sys
from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageDraw

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import stamps  # noqa: E402
from stamps_not_shipped import NOT_SHIPPED  # noqa: E402

from curate.quickstart.pictures import shipped_pictures  # noqa: E402


def drawing(seed: int, size: tuple[int, int] = (120, 100)) -> Image.Image:
    random = Random(seed)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for _ in range(9):
        left, top = random.randrange(size[0]), random.randrange(size[1])
        colour = tuple(random.randrange(230) for _ in range(3))
        draw.ellipse((left, top, left + 40, top + 30), fill=colour)
    return image


def stamp(path: str, text: str, rgb: Image.Image, kind: str = "photograph") -> stamps.Stamp:
    return stamps.Stamp(path, text, rgb, stamps.hashes(rgb), kind)


@pytest.fixture(scope="module")
def many() -> list[stamps.Stamp]:
    found = []
    for seed in range(60):
        rgb = drawing(seed)
        name = f"{seed}th"
        found.append(stamp(f"animals/plain/{name}.png", f"A thing {seed}.", rgb))
        mirrored = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        found.append(stamp(f"animals/mirrored/{name}.png", f"Left {seed}.", mirrored))
        found.append(stamp(f"animals/small/{name}.png", f"Small {seed}.", rgb.resize((90, 75))))
        found.append(stamp(f"animals/told/{name}.png", f"a THING {seed}", drawing(1000 + seed)))
    return sorted(found, key=lambda one: one.path)


def test_no_look_alike_and_no_equal_description_is_on_both_sides(many: list[stamps.Stamp]) -> None:
    divided = stamps.split(many)
    by_path = {one.path: one for one in many}
    assert len(divided.shipped) > 20
    assert len(divided.training) > 20
    for shipped in (by_path[path] for path in divided.shipped):
        for training in (by_path[path] for path in divided.training):
            apart = stamps.bits_apart(shipped.phashes, training.phashes)
            assert apart > stamps.NEAR_DUPLICATE_BITS
            assert stamps.normalised(shipped.text) != stamps.normalised(training.text)


def test_shipped_pictures_differ_from_each_other(many: list[stamps.Stamp]) -> None:
    paths = stamps.split(many).shipped
    shipped = [one for one in many if one.path in paths]
    for at, one in enumerate(shipped):
        for other in shipped[:at]:
            assert stamps.bits_apart(one.phashes, other.phashes) >= stamps.DISTINCT_BITS


def test_the_split_does_not_depend_on_what_else_there_is_or_on_order(
    many: list[stamps.Stamp],
) -> None:
    whole = stamps.split(many)
    alone = stamps.split([one for one in many if "9" in one.path])
    assert set(alone.shipped) <= set(whole.shipped)
    assert set(alone.training) <= set(whole.training)
    assert stamps.split(list(reversed(many))) == whole


@pytest.mark.parametrize(
    ("path", "text", "size"),
    [
        ("symbols/hand.png", "A hand.", (120, 100)),
        ("animals/cow_mirror.png", "A cow.", (120, 100)),
        ("animals/cow.png", "A cow.", (120, 60)),
        ("animals/cow.png", "A cow.", (300, 100)),
        ("animals/cow.png", "Lo " * 11, (120, 100)),
        (next(iter(NOT_SHIPPED)), "A cow.", (120, 100)),
    ],
)
def test_what_is_no_fair_pair_is_not_shipped(path: str, text: str, size: tuple[int, int]) -> None:
    assert stamps.may_ship(stamp("animals/cow.png", "A cow.", drawing(1)))
    assert not stamps.may_ship(stamp(path, text, drawing(1, size)))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("animals/birds/duck_mirror.png", "animals/birds/duck"),
        ("people/fireman240a.png", "people/fireman"),
        ("plants/mushrooms/cep-2.png", "plants/mushrooms/cep"),
        ("seasonal/Candy_cane_photo_1.png", "seasonal/candy_cane"),
    ],
)
def test_variants_share_a_stem(path: str, expected: str) -> None:
    assert stamps.stem(path) == expected


def test_a_cut_out_is_laid_on_white_and_cut_to_its_content() -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (10, 20, 60, 45))
    rgb = stamps.on_white(image)
    assert rgb.size == (50 + 4, 25 + 4)
    assert rgb.getpixel((0, 0)) == (255, 255, 255)
    assert rgb.getpixel((27, 14)) == (255, 0, 0)


def test_what_is_shipped_obeys_the_exclusions() -> None:
    sources = {picture.source for picture in shipped_pictures()}
    assert not sources & set(NOT_SHIPPED)
    assert not [source for source in sources if source.startswith("symbols/")]
