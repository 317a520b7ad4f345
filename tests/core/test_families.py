from __future__ import annotations

from collections.abc import Iterator

import pytest

from curate.core.families import FAMILIES, STAGE_FAMILIES, UnknownKind, find, kinds
from tests.recipes import installed_plugin


@pytest.fixture
def plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def test_the_file_name_is_the_registration() -> None:
    kind = find("filters", "resolution")
    assert (kind.family, kind.module) == ("filters", "curate.stages.filters.resolution")
    assert kind.config().__module__ == kind.module
    assert kind.summary().startswith("Drop pictures that are too small")


def test_files_that_begin_with_an_underscore_are_no_kinds() -> None:
    assert "_sides" not in kinds("filters")
    assert list(kinds("filters")) == sorted(kinds("filters"))


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownKind) as raised:
        find("filters", "resolutoin")
    assert str(raised.value) == (
        "there is no 'resolutoin' among the filters: did you mean 'resolution'?"
    )


def test_an_unknown_kind_that_is_near_nothing_names_them_all() -> None:
    with pytest.raises(UnknownKind, match="among the dedup: one of: exact, perceptual"):
        find("dedup", "zzz")


def test_an_unknown_family_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownKind, match=r"no family 'scorer': did you mean 'scorers'"):
        kinds("scorer")


def test_every_family_but_none_is_empty() -> None:
    assert [family for family in FAMILIES if not kinds(family)] == []
    assert set(STAGE_FAMILIES) < set(FAMILIES)


def test_a_package_of_somebody_else_adds_a_kind(plugin: None) -> None:
    kind = find("scorers", "letters")
    assert kind.summary() == (
        "Score a text by how many different letters it has, out of 26; needs no model."
    )
    assert kind.config().__module__ == "letters.scorer"


def test_a_package_of_somebody_else_hides_no_kind_of_ours(plugin: None) -> None:
    # its entry_points.txt also names a filter 'resolution'
    assert find("filters", "resolution").module == "curate.stages.filters.resolution"


def test_without_the_package_there_is_no_such_kind() -> None:
    assert "letters" not in kinds("scorers")
