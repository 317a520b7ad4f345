"""Filters on one column: an operator and a value, checked, and never part of a query's text.

Words are compared without regard to case by ``contains``, ``lacks`` and ``begins``; empty words
count as missing. What is missing fulfils no comparison, not even ``!=`` or ``lacks``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.core.errors import StoreError, nearest
from curate.inspection.index.columns import ColumnKind
from curate.inspection.index.pair_index import Bools, Numbers

_PRESENCE = ("missing", "present")
#: Operators by kind of column.
OPERATORS: Mapping[ColumnKind, tuple[str, ...]] = {
    "number": ("=", "!=", "<", "<=", ">", ">=", *_PRESENCE),
    "flag": ("=", *_PRESENCE),
    "text": ("=", "!=", "contains", "lacks", "begins", *_PRESENCE),
}
Value = str | float | bool | None

_NUMBERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter.

    Attributes:
        column: its name.
        operator: one of ``OPERATORS`` of its kind.
        value: a number, a flag or words, as the kind is; None for ``missing`` and ``present``.
    """

    column: str
    operator: str
    value: Value = None

    @property
    def folds(self) -> bool:
        """Whether words are compared without regard to case."""
        return self.operator in ("contains", "lacks", "begins")

    def check(self, kind: ColumnKind) -> None:
        """Check operator and value against the kind of the column.

        Raises:
            StoreError: they do not fit it.
        """
        if self.operator not in OPERATORS[kind]:
            raise StoreError(
                f"{self.column!r} has no filter {self.operator!r}: "
                + nearest(self.operator, OPERATORS[kind])
            )
        if self.operator in _PRESENCE:
            fits = self.value is None
        elif kind == "number":
            fits = type(self.value) in (int, float) and math.isfinite(float(self.value or 0))
        else:
            fits = isinstance(self.value, bool if kind == "flag" else str)
        if not fits:
            raise StoreError(
                f"{self.column!r} {self.operator} {self.value!r}: {_DUE[kind]} is due"
                if self.operator not in _PRESENCE
                else f"{self.column!r} {self.operator}: no value is due"
            )


_DUE = {"number": "a number", "flag": "true or false", "text": "text"}


def of_numbers(condition: Condition, column: Numbers) -> Bools:
    """Return which pairs fulfil a condition on numbers or flags."""
    if condition.operator == "missing":
        return ~column.known
    if condition.operator == "present":
        return column.known
    value: Any = condition.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a 64-bit hash is not told apart by a float
    return np.asarray(_NUMBERS[condition.operator](column.values, value) & column.known)


def of_words(condition: Condition) -> Callable[[pa.Array], pa.Array]:
    """Return the test of strings that a condition is; of lower-case ones where it ``folds``."""
    value = condition.value
    if condition.folds:
        value = pc.utf8_lower(pa.scalar(value, pa.string())).as_py()

    def there(words: pa.Array) -> pa.Array:
        return pc.fill_null(pc.not_equal(words, ""), False)

    tests: Mapping[str, Callable[[pa.Array], pa.Array]] = {
        "=": lambda words: pc.equal(words, value),
        "!=": lambda words: pc.and_(pc.not_equal(words, value), there(words)),
        "contains": lambda words: pc.match_substring(words, value),
        "lacks": lambda words: pc.and_(pc.invert(pc.match_substring(words, value)), there(words)),
        "begins": lambda words: pc.starts_with(words, value),
        "missing": lambda words: pc.invert(there(words)),
        "present": there,
    }
    return tests[condition.operator]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of words with few values.

    Attributes:
        codes: for each pair the place of its value in ``labels``; -1 where it is missing.
        labels: the values.
    """

    codes: NDArray[np.int16]
    labels: tuple[str, ...]

    def where(self, test: Callable[[pa.Array], pa.Array], *, lower: bool = False) -> Bools:
        """Return which pairs pass a test of strings; the test of a missing value is of null."""
        words = pa.array([*self.labels, None], pa.string())
        words = pc.utf8_lower(words) if lower else words
        passed = pc.fill_null(test(words), False).to_numpy(zero_copy_only=False).astype(bool)
        return np.asarray(passed[self.codes])


def coded(column: pa.ChunkedArray, labels: tuple[str, ...]) -> Coded:
    """Return a column of words by the places of its values in ``labels``."""
    found = pc.fill_null(pc.index_in(column, pa.array(labels, pa.string())), -1)
    return Coded(found.to_numpy().astype(np.int16), labels)
