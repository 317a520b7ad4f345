"""What the page asks, from JSON: every value is checked before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curate.core.errors import StoreError
from curate.inspection.index.filters import Condition
from curate.inspection.index.query import Near, Query, Threshold

_Name = Annotated[str, Field(min_length=1, max_length=1000)]
_Words = Annotated[str, Field(max_length=10_000)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**64)]
_Key = Annotated[int, Field(ge=0, lt=2**31)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Condition(_Asked):
    column: _Name
    operator: _Name
    value: bool | _Whole | _Number | _Words | None = None


class _Near(_Asked):
    image: Annotated[list[_Key], Field(min_length=2, max_length=2)] | None = None
    picture: _Words = ""
    words: _Words = ""


class _Threshold(_Asked):
    column: _Name
    value: _Number
    against: _Number | _Name | None = None

    def read(self) -> Threshold:
        return Threshold(self.column, float(self.value), self.against)


class _Query(_Asked):
    conditions: Annotated[list[_Condition], Field(max_length=50)] = Field(default_factory=list)
    words: _Words = ""
    near: _Near | None = None
    shifted: _Threshold | None = None
    sort: str = Field("", max_length=1000)
    descending: bool = False

    def read(self) -> Query:
        near = None
        if self.near is not None:
            image = self.near.image
            pair = None if image is None else (image[0], image[1])
            near = Near(pair, self.near.picture, self.near.words)
            near = near if near != Near() else None
        return Query(
            tuple(Condition(one.column, one.operator, one.value) for one in self.conditions),
            self.words,
            near,
            None if self.shifted is None else self.shifted.read(),
            self.sort,
            self.descending,
        )


class PageAsked(_Asked):
    """A page of the pairs that a query means."""

    query: _Query
    start: int = Field(0, ge=0)
    count: int = Field(48, ge=1, le=200)


class EffectAsked(_Asked):
    """What a threshold does to a query's pairs."""

    query: _Query
    threshold: _Threshold


class HistogramAsked(_Asked):
    """The scores of a query's pairs."""

    query: _Query
    column: _Name


class CalibrationAsked(_Asked):
    """What the marked pairs of a query say of a score."""

    query: _Query
    column: _Name
    measure: Literal["precision", "recall"]
    value: float = Field(gt=0, le=1)


class MarkAsked(_Asked):
    """How the pair at a place is marked; null takes the mark back."""

    place: int = Field(ge=0)
    good: bool | None


def asked(kind: type[_Asked], body: Mapping[str, Any]) -> Any:
    """Return a question of some kind, checked.

    Raises:
        StoreError: the body is none.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{where or 'the question'}: {first['msg']}") from error
