from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from curate.core import yaml_lines
from curate.core.config import FrozenConfig
from curate.core.validation import override, valid_keys, validation_problems


class Inner(FrozenConfig):
    rate: float = Field(0.1, gt=0)


class Outer(FrozenConfig):
    size: int = Field(ge=1)
    name: str = Field("x", alias="as")
    inner: Inner | None = None
    low: int = 0

    @model_validator(mode="after")
    def _bounds(self) -> Outer:
        if self.low > self.size:
            raise ValueError(f"Low {self.low} is above size {self.size}")
        return self


def problems_of(text: str) -> list[str]:
    data, lines, _ = yaml_lines.load(text)
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(data["x"])
    return sorted(str(one) for one in validation_problems(raised.value, Outer, ("x",), lines))


def test_every_fault_has_its_line_its_key_and_the_nearest_name() -> None:
    assert problems_of("x:\n  size: 0\n  sice: 2\n  inner:\n    rate: -1\n    ratte: 2\n") == [
        "line 2: x.size: input should be greater than or equal to 1, got 0",
        "line 3: x.sice: unknown key 'sice' (did you mean 'size'?)",
        "line 5: x.inner.rate: input should be greater than 0, got -1",
        "line 6: x.inner.ratte: unknown key 'ratte' (did you mean 'rate'?)",
    ]


def test_a_missing_key_is_said_where_it_should_stand() -> None:
    assert problems_of("y: 1\nx:\n  as: b\n") == ["line 2: x.size: 'size' is missing"]


def test_what_a_validator_says_is_not_followed_by_the_whole_input() -> None:
    assert problems_of("x: {size: 1, low: 3}\n") == ["line 1: x: low 3 is above size 1"]


def test_keys_are_known_by_the_name_a_recipe_writes() -> None:
    assert valid_keys(Outer) == {"size", "as", "inner", "low"}


RECIPE: dict[str, Any] = {"name": "x", "stages": [{"kind": "a"}, {"kind": "b", "size": 1}]}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("name=y", ("name",), "y"),
        ("stages[1].size=256", ("stages", 1, "size"), 256),
        ("stages.1.size=[1, 2]", ("stages", 1, "size"), [1, 2]),
        ("stages[0].new=null", ("stages", 0, "new"), None),
        ("engine.kind=ray", ("engine", "kind"), "ray"),
        (" name =a=b", ("name",), "a=b"),
        ("stages[0]={kind: c}", ("stages", 0), {"kind": "c"}),
    ],
)
def test_an_override_sets_one_value(text: str, path: tuple[Any, ...], value: Any) -> None:
    data = copy.deepcopy(RECIPE)
    assert override(data, text) == []
    found: Any = data
    for part in path:
        found = found[part]
    assert found == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name", "--set 'name' is not of the form key=value (stages[1].resize=256)"),
        ("=3", "--set '=3' is not of the form key=value (stages[1].resize=256)"),
        ("stages[5].size=1", "--set 'stages[5].size=1': there is no 5 in the recipe"),
        ("stages[5]=1", "--set 'stages[5]=1': there is no stages[5] in the recipe"),
        ("name.deep=1", "--set 'name.deep=1': there is no name.deep in the recipe"),
        ("name.deep.er=1", "--set 'name.deep.er=1': there is no 'deep' in the recipe"),
        ("stages.size=1", "--set 'stages.size=1': there is no stages.size in the recipe"),
    ],
)
def test_an_override_of_what_is_not_there_changes_nothing(text: str, said: str) -> None:
    data = copy.deepcopy(RECIPE)
    assert [str(one) for one in override(data, text)] == [said]
    assert data == RECIPE


@pytest.mark.parametrize("value", ["{output}/list.parquet", "[1,", "*.csv"])
def test_an_override_that_is_no_yaml_is_text(value: str) -> None:
    data = copy.deepcopy(RECIPE)
    assert override(data, f"name={value}") == []
    assert data["name"] == value
