from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import SourceError
from curate.core.karpathy_pairs import KarpathySource
from curate.core.pairs import Pair, TableConfig, open_tables


def entry(name: str, split: str, *texts: str, folder: str | None = None) -> dict[str, Any]:
    made = {"filename": name, "split": split, "sentences": [{"raw": one} for one in texts]}
    return {**made, **({"filepath": folder} if folder else {})}


COCO = {
    "dataset": "coco",
    "images": [
        entry("1.jpg", "train", "a dog", folder="train2014"),
        entry("2.jpg", "test", " two cats ", "cats\n", folder="val2014"),
        entry("3.jpg", "restval", "a boat", folder="val2014"),
        entry("4.jpg", "test", " ", folder="val2014"),
    ],
}
FLICKR = {
    "dataset": "flickr30k",
    "images": [entry("a.jpg", "test", "x"), entry("b.jpg", "val", "y")],
}
BLIP_TEST = [
    {"image": "val2014/2.jpg", "caption": ["two cats", "cats"]},
    {"image": "val2014/3.jpg", "caption": ["a boat"]},
]
BLIP_TRAIN = [
    {"image": "val2014/2.jpg", "caption": "two cats", "image_id": "coco_2"},
    {"image": "val2014/3.jpg", "caption": "a boat", "image_id": "coco_3"},
    {"image": "val2014/2.jpg", "caption": "cats", "image_id": "coco_2"},
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("train2014/1.jpg", "val2014/2.jpg", "val2014/3.jpg", "val2014/4.jpg", "a.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "pictures"


def table(pictures: Path, content: object, **settings: Any) -> TableConfig:
    path = pictures.parent / "dataset.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return TableConfig(path=str(path), **{"images": str(pictures), **settings})


def names(config: TableConfig) -> list[str]:
    source = open_tables([config])
    return [pair.uid for pair in source.read(range(len(source)))]


def test_a_split_of_karpathys(pictures: Path) -> None:
    source = KarpathySource(table(pictures, COCO, split="test"))
    assert source.read([0]) == [Pair("val2014/2.jpg", b"val2014/2.jpg", ["two cats", "cats"])]
    assert source.read_texts([0]) == [Pair("val2014/2.jpg", b"", ["two cats", "cats"])]
    assert len(source) == 1  # the other has no text
    assert list(source.texts()) == ["two cats", "cats"]
    assert source.num_texts() == [2]
    assert source.best_scores() == [None]


def test_train_has_the_rest_of_the_validation_set_in_it(pictures: Path) -> None:
    assert names(table(pictures, COCO, split="train")) == ["train2014/1.jpg", "val2014/3.jpg"]
    assert names(table(pictures, COCO, split="restval")) == ["val2014/3.jpg"]


def test_flickr_has_no_folders_and_another_split_needs_no_pictures(pictures: Path) -> None:
    assert names(table(pictures, FLICKR, split="test", repeat=2)) == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize("content", [BLIP_TEST, BLIP_TRAIN])
def test_blips_lists_give_each_picture_once_with_all_its_texts(
    pictures: Path, content: object
) -> None:
    source = KarpathySource(table(pictures, content))
    assert [(pair.uid, pair.texts) for pair in source.read([0, 1])] == [
        ("val2014/2.jpg", ["two cats", "cats"]),
        ("val2014/3.jpg", ["a boat"]),
    ]


def test_the_files_own_folder_is_where_pictures_are_looked_for(pictures: Path) -> None:
    (pictures / "own.json").write_text(json.dumps(BLIP_TEST))
    source = KarpathySource(TableConfig(path=str(pictures / "own.json")))
    assert source.read([1])[0].image == b"val2014/3.jpg"


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        (COCO, {}, "holds the splits restval, test, train: say which"),
        (COCO, {"split": "tset"}, "no split 'tset': did you mean 'test'"),
        (FLICKR, {"split": "val"}, r"not there: .*pictures/b\.jpg; give their folder"),
        (BLIP_TEST, {"split": "test"}, "a list of one split: leave out split"),
        (BLIP_TEST, {"captions": "text"}, "no columns: leave out captions"),
        ([{"image": "a.jpg"}], {}, "an entry lacks or misuses 'caption'"),
        ({"annotations": []}, {}, "neither Karpathy's annotations"),
        ([], {}, "neither Karpathy's annotations"),
    ],
)
def test_what_does_not_fit_is_named(
    pictures: Path, content: object, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        KarpathySource(table(pictures, content, **settings))


def test_the_first_missing_pictures_are_named_and_the_others_counted(pictures: Path) -> None:
    lost = [entry(f"lost/{n}.jpg", "test", "x") for n in range(1005)]
    with pytest.raises(SourceError, match=r"lost/0\.jpg, .*lost/2\.jpg and 1,002 more"):
        KarpathySource(table(pictures, {"images": lost}, split="test"))


def test_files_that_cannot_be_read_are_named(pictures: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        KarpathySource(TableConfig(path=str(pictures / "none.json")))
    config = table(pictures, BLIP_TEST)
    source = KarpathySource(config)
    (pictures / "val2014/3.jpg").unlink()
    with pytest.raises(SourceError, match=r"val2014/3\.jpg cannot be read"):
        source.read([1])
    Path(config.path).write_text("{")
    with pytest.raises(SourceError, match="cannot be read as JSON"):
        KarpathySource(config)


def test_other_tables_have_no_splits_but_may_have_a_folder(pictures: Path) -> None:
    path = pictures.parent / "t.jsonl"
    path.write_text(json.dumps({"image": "a.jpg", "captions": ["x"]}) + "\n")
    assert len(open_tables([TableConfig(path=str(path), images=str(pictures))])) == 1
    with pytest.raises(SourceError, match="a table has no splits"):
        open_tables([TableConfig(path=str(path), split="test")])
    with pytest.raises(SourceError, match="leave out images"):
        open_tables([TableConfig(path=str(path.with_suffix(".tar")), images="x")])


def test_the_number_of_a_class_is_a_text_and_a_fraction_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    (tmp_path / "a.jpg").write_bytes(b"body")
    path.write_text(json.dumps({"image": "a.jpg", "captions": 0}) + "\n")
    assert open_tables([TableConfig(path=str(path))]).read([0])[0].texts == ["0"]
    path.write_text(json.dumps({"image": "a.jpg", "captions": 0.5}) + "\n")
    with pytest.raises(SourceError, match=r"'captions' holds 0\.5, which is no text"):
        open_tables([TableConfig(path=str(path))])
