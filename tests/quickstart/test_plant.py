from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate.quickstart.faults import FAULTS, MISMATCHED, NEAR_DUPLICATE, NONE, REPEATED_ROW
from curate.quickstart.mismatch import content_words, may_fit
from curate.quickstart.pictures import shipped_pictures
from curate.quickstart.plant import LIST_SCHEMA, TRUTH_SCHEMA, Planted, plant


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant()


def test_every_fault_is_there_as_often_as_announced(planted: Planted) -> None:
    counts = Counter(row.fault for row in planted.rows)
    assert counts == {fault.name: fault.count for fault in FAULTS.values()}
    assert 350 <= len(planted.rows) <= 450
    assert counts[NONE] > 0.4 * len(planted.rows)
    assert 0.18 < counts[MISMATCHED] / len(planted.rows) < 0.22


def test_one_seed_one_list_and_another_seed_another(planted: Planted, tmp_path: Path) -> None:
    again = plant()
    assert again.listing().equals(planted.listing())
    assert again.truth().equals(planted.truth())
    assert again.pages == planted.pages
    assert not plant(1).listing().equals(planted.listing())
    planted.write(tmp_path / "a/list.parquet", tmp_path / "a/truth.parquet")
    again.write(tmp_path / "b/list.parquet", tmp_path / "b/truth.parquet")
    for name in ("list.parquet", "truth.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_list_holds_addresses_and_texts_and_no_truth(planted: Planted, tmp_path: Path) -> None:
    planted.write(tmp_path / "list.parquet", tmp_path / "truth.parquet")
    listing = pq.read_table(tmp_path / "list.parquet")
    assert listing.schema.equals(LIST_SCHEMA)
    words = {*FAULTS, *(picture.file.removesuffix(".jpg") for picture in shipped_pictures())}
    for url in listing["URL"].to_pylist():
        assert not [word for word in words if word in url]
    truth = pq.read_table(tmp_path / "truth.parquet")
    assert truth.schema.equals(TRUTH_SCHEMA)
    assert truth["url"].to_pylist() == listing["URL"].to_pylist()
    assert truth["text"].to_pylist() == listing["TEXT"].to_pylist()
    assert truth["row"].to_pylist() == list(range(len(listing)))


def test_addresses_are_unique_but_for_repeated_rows(planted: Planted) -> None:
    counts = Counter(row.url for row in planted.rows)
    repeated = {row.url for row in planted.rows if row.fault == REPEATED_ROW}
    assert {url for url, count in counts.items() if count > 1} == repeated
    assert {counts[url] for url in repeated} == {2}


def test_mismatched_texts_are_descriptions_that_cannot_fit(planted: Planted) -> None:
    for row in planted.rows:
        if row.fault == MISMATCHED:
            assert row.text == row.text_of.text
            assert not may_fit(row.text_of, row.picture)
            assert not content_words(row.text) & content_words(row.picture.text)
        else:
            assert row.text_of is None


def test_good_rows_have_their_own_description_and_no_picture_is_shown_twice(
    planted: Planted,
) -> None:
    shown = [row for row in planted.rows if row.picture]
    originals = [row for row in shown if row.fault not in (REPEATED_ROW, NEAR_DUPLICATE)]
    assert len({row.picture.file for row in originals}) == len(originals)
    assert all(row.text == row.picture.text for row in shown if row.fault == NONE)


def test_repeats_come_after_what_they_repeat(planted: Planted) -> None:
    at = {row.picture.file: n for n, row in enumerate(planted.rows) if row.fault == NONE}
    repeats = [
        (n, row)
        for n, row in enumerate(planted.rows)
        if "near" in row.fault or "repeated" in row.fault
    ]
    assert len(repeats) == FAULTS[REPEATED_ROW].count + FAULTS[NEAR_DUPLICATE].count
    for n, row in repeats:
        original = planted.rows[at[row.picture.file]]
        assert at[row.picture.file] < n
        assert row.text == original.text
        assert (row.url == original.url) is (row.fault == REPEATED_ROW)


def test_texts_without_content_look_like_the_webs(planted: Planted) -> None:
    texts = {name: [row.text for row in planted.rows if row.fault == name] for name in FAULTS}
    assert set(texts["empty_text"]) == {""}
    assert set(texts["null_text"]) == {None}
    assert len(set(texts["boilerplate"])) == 10
    assert all(
        len(text.split()) == 1 and any(c.isdigit() for c in text) for text in texts["file_name"]
    )


def test_too_few_pictures_are_an_error() -> None:
    with pytest.raises(ValueError, match="132 pictures are needed, 3 were given"):
        plant(pictures=shipped_pictures()[:3])
