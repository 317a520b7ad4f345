"""Score a text by how many different letters it has, out of 26; needs no model."""

from __future__ import annotations

import time

import pyarrow as pa
from pydantic import Field

from curate.core import columns
from curate.core.config import MapConfig, tuning
from curate.core.resources import Resources
from curate.core.stage import CANARY_KEYS, Mapped, MapStage


class Config(MapConfig):
    """Settings of the scorer.

    Attributes:
        name: prefix of its column.
        power: exponent of the share of letters.
        sleep_s: pretended work per partition, seconds.
    """

    name: str = Field("letters", alias="as")
    power: float = 1.0
    sleep_s: float = tuning(0.0)

    @property
    def reads(self) -> tuple[str, ...]:
        return ("texts",)

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        return (columns.score(f"{self.name}_itm"),)

    @property
    def resources(self) -> Resources:
        return Resources(num_cpus=1.0, key="letters")

    @property
    def label(self) -> str:
        return self.name

    def build(self) -> Letters:
        return Letters(self)


class Letters(MapStage):
    """Scores every text; the first two rows give a canary."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __call__(self, rows: pa.Table) -> Mapped:
        time.sleep(self._config.sleep_s)
        (field,) = self._config.writes
        texts = rows["texts"].to_pylist()
        values = [[self._score(text) for text in own] for own in texts]
        table = columns.append_columns(
            rows, {field.name: pa.array(values, field.type)}, self._config.writes
        )
        return Mapped(table, canaries=self._canary(rows, texts, field.name))

    def _score(self, text: str) -> float:
        letters = {letter for letter in text.lower() if "a" <= letter <= "z"}
        return float((len(letters) / 26) ** self._config.power)

    def _canary(self, rows: pa.Table, texts: list[list[str]], name: str) -> pa.Table | None:
        if rows.num_rows < 2 or not texts[1]:
            return None
        numbers, text = rows["row"].to_pylist(), texts[1][0]
        row = {"partition": rows["partition"][0].as_py(), "row": numbers[0], "text": text}
        keys = pa.Table.from_pylist([{**row, "text_row": numbers[1]}], schema=CANARY_KEYS)
        return keys.append_column(name, pa.array([self._score(text)], pa.float32()))
