"""What every file of a stage family owes, asserted for each of them."""

from __future__ import annotations

import importlib
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curate.core.columns import KEYS, check_fields, is_parallel, list_lengths
from curate.core.config import StageConfig
from curate.core.families import STAGE_FAMILIES, Kind, kinds
from curate.core.stage import (
    CANARY_KEYS,
    VERDICT_SCHEMA,
    Barrier,
    Mapped,
    MapStage,
    RowFilter,
    Selector,
    Source,
    TextFilter,
    Verdicts,
)
from tests.conformance.material import COUNT, Material, canonical, eligible_texts, material, near

ROLES = {
    "map": MapStage,
    "row_filter": RowFilter,
    "text_filter": TextFilter,
    "barrier": Barrier,
    "selector": Selector,
    "source": Source,
}
ALL = [
    kind
    for family in ("sources", *STAGE_FAMILIES, "selectors")
    for kind in kinds(family).values()
    if kind.module.startswith("curate.")
]


def _of(*roles: str) -> Any:
    chosen = [kind for kind in ALL if kind.config().role in roles]  # type: ignore[attr-defined]
    return pytest.mark.parametrize("kind", chosen, ids=lambda kind: f"{kind.family}/{kind.name}")


every = _of(*ROLES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    with material(tmp_path_factory.mktemp("conformance")) as made:
        yield made


def _config(kind: Kind, made: Material) -> Any:
    try:
        return kind.config()(**made.options(kind.family, kind.name))
    except ValidationError as error:
        pytest.fail(f"give {kind.family}/{kind.name} options in conformance/material.py: {error}")


@every
def test_a_file_holds_one_documented_config(kind: Kind) -> None:
    module = importlib.import_module(kind.module)
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, StageConfig)
        and value.__module__ == kind.module
    ]
    assert own == [module.Config]
    assert kind.summary() == (module.__doc__ or "").split("\n", 1)[0] != ""
    assert module.Config.__doc__
    told = "\n".join(inspect.getdoc(base) or "" for base in module.Config.__mro__)
    for name, field in module.Config.model_fields.items():
        assert f"    {field.alias or name}: " in told, f"{name} is not described"
    assert not kind.name.startswith("_")


@every
def test_a_config_is_frozen_strict_and_pickles(kind: Kind, made: Material) -> None:
    config = _config(kind, made)
    with pytest.raises(ValidationError):
        config.version_of_the_moon = 1
    with pytest.raises(ValidationError):
        type(config)(**made.options(kind.family, kind.name), version_of_the_moon=1)
    assert pickle.loads(pickle.dumps(config)) == config
    assert canonical(config.identity()) == canonical(pickle.loads(pickle.dumps(config)).identity())
    assert config.check() == []
    assert isinstance(config.build(), ROLES[config.role])
    assert config.resources.num_cpus >= 0


def _mapped(config: Any, rows: pa.Table) -> Mapped:
    stage = config.build()
    with stage.ready():
        mapped = stage(rows)
        again = stage(rows)
    assert isinstance(mapped, Mapped)
    assert near(mapped.rows, again.rows)
    for left, right in ((mapped.reasons, again.reasons), (mapped.canaries, again.canaries)):
        assert (left is None) == (right is None)
        assert left is None or near(left, right)
    return mapped


#: Engines that are not installed with curate, by the kinds that run in them.
NEEDS = {"vllm": "vllm"}


def _loads(kind: Kind) -> None:
    """Skip a kind whose engine is not installed here."""
    if kind.name in NEEDS:
        pytest.importorskip(NEEDS[kind.name])


@_of("map")
def test_map_stages(kind: Kind, made: Material) -> None:
    _loads(kind)
    config, rows = _config(kind, made), made.rows()
    mapped = _mapped(config, rows)
    assert mapped.rows.num_rows == COUNT
    check_fields(mapped.rows, config.writes, writer=kind.name)
    written = {field.name for field in config.writes}
    assert set(mapped.rows.column_names) == set(rows.column_names) | written
    for name in set(rows.column_names) - written:
        assert mapped.rows[name].equals(rows[name]), f"{name} is not declared and changed"
    lengths = list_lengths(mapped.rows["texts"])
    for field in config.writes:
        if is_parallel(field):
            assert (list_lengths(mapped.rows[field.name]) <= lengths).all()
    for told in (mapped.reasons, mapped.details):
        assert told is None or (len(told) == COUNT and told.type == pa.string())
    assert mapped.reasons is None or mapped.reasons.null_count == COUNT
    for name in written:
        assert mapped.rows[name].null_count == 0
    if mapped.canaries is not None:
        assert mapped.canaries.schema.names[:4] == CANARY_KEYS.names


@_of("map")
def test_map_stages_need_what_they_declare_and_keep_order(kind: Kind, made: Material) -> None:
    _loads(kind)
    config, rows = _config(kind, made), made.rows()
    written = [field.name for field in config.writes]
    whole = _mapped(config, rows).rows.select(written)
    narrow = rows.select(list(dict.fromkeys([*KEYS, *config.reads])))
    assert near(_mapped(config, narrow).rows.select(written), whole)
    backwards = list(reversed(range(COUNT)))
    turned = _mapped(config, rows.take(backwards)).rows.select(written)
    assert near(turned.take(backwards), whole)


@_of("map")
def test_map_stages_take_an_empty_partition(kind: Kind, made: Material) -> None:
    _loads(kind)
    config, rows = _config(kind, made), made.rows()
    mapped = _mapped(config, rows.slice(0, 0))
    assert mapped.rows.num_rows == 0
    assert mapped.rows.schema == _mapped(config, rows.slice(0, 1)).rows.schema
    assert mapped.reasons is None or len(mapped.reasons) == 0


@_of("row_filter")
def test_row_filters(kind: Kind, made: Material) -> None:
    config, rows = _config(kind, made), made.rows()
    stage = config.build()
    with stage.ready():
        verdicts, again = stage(rows), stage(rows)
        turned = stage(rows.take(list(reversed(range(COUNT)))))
        narrow = stage(rows.select(list(config.reads)))
        empty = stage(rows.slice(0, 0))
    assert isinstance(verdicts, Verdicts)
    assert verdicts.reasons.type == pa.string()
    assert 0 < verdicts.reasons.null_count < COUNT, "the options should stop some rows"
    for other in (again.reasons, narrow.reasons, turned.reasons[::-1]):
        assert verdicts.reasons.to_pylist() == other.to_pylist()
    if verdicts.details is not None:
        assert len(verdicts.details) == COUNT
        assert len(empty.details) == 0
    assert (len(empty.reasons), empty.reasons.type) == (0, pa.string())
    assert config.writes == ()


@_of("text_filter")
def test_text_filters(kind: Kind, made: Material) -> None:
    config, rows = _config(kind, made), made.rows()
    stage = config.build()
    with stage.ready():
        reasons, again = stage(rows), stage(rows)
        turned = stage(rows.take(list(reversed(range(COUNT)))))
        narrow = stage(rows.select(list(config.reads)))
        empty = stage(rows.slice(0, 0))
    assert (list_lengths(reasons) == list_lengths(rows["texts"])).all()
    flat = [reason for row in reasons.to_pylist() for reason in row]
    assert None in flat and set(flat) != {None}, "the options should refuse some texts"
    for other in (again, narrow, turned[::-1]):
        assert reasons.to_pylist() == other.to_pylist()
    assert (len(empty), empty.type) == (0, reasons.type)


@_of("barrier")
def test_barriers(kind: Kind, made: Material, tmp_path: Path) -> None:
    config, rows = _config(kind, made), made.rows()
    barrier = config.build()
    sketch = barrier.sketch(rows)
    assert sketch.column_names[:2] == list(KEYS)
    assert sketch.select(KEYS).to_pylist() == rows.select(KEYS).to_pylist()
    narrow = rows.select([*KEYS, *config.reads])
    assert sketch.equals(barrier.sketch(narrow))
    empty = barrier.sketch(rows.slice(0, 0))
    assert (empty.num_rows, empty.schema) == (0, sketch.schema)
    assert sketch.nbytes < 100 * COUNT, "a sketch holds narrow columns"
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    pq.write_table(empty, paths[0])
    pq.write_table(sketch, paths[1])
    results = []
    for turn in ("first", "second"):
        scratch = tmp_path / turn
        scratch.mkdir()
        results.append(list(barrier.resolve(paths, scratch)))
    ((partition, verdicts),) = results[0]
    assert partition == rows["partition"][0].as_py()
    assert verdicts.schema == VERDICT_SCHEMA
    assert verdicts["row"].to_pylist() == [rows["row"][COUNT - 1].as_py()], "the last row repeats"
    assert results[1][0][1].equals(verdicts)


@_of("selector")
def test_selectors(kind: Kind, made: Material) -> None:
    config = _config(kind, made)
    texts = eligible_texts(30)
    chunks = [texts.slice(start, 7) for start in range(0, 30, 7)]
    decisions = []
    for _ in range(2):
        selector = config.build()
        with selector.ready():
            selector.prepare(lambda: iter(chunks))
            decisions.append([selector.decide(chunk) for chunk in chunks])
            empty = selector.decide(texts.slice(0, 0))
            canonical(selector.summary())
    assert near(decisions[0], decisions[1])
    flat = [reason for chunk in decisions[0] for reason in chunk.to_pylist()]
    assert len(flat) == 30
    assert None in flat and set(flat) != {None}
    assert all(chunk.type == pa.string() for chunk in decisions[0])
    assert (len(empty), empty.type) == (0, pa.string())
    assert set(config.reads) <= set(texts.column_names)


@_of("selector")
def test_a_selector_names_all_that_it_looks_at(kind: Kind, made: Material) -> None:
    config, texts = _config(kind, made), eligible_texts(30)
    selector = config.build()
    names = ["partition", "row", "text_index", "source", *(selector.columns or texts.column_names)]
    few = texts.select(list(dict.fromkeys(names)))
    with selector.ready():
        selector.prepare(lambda: iter([few]))
        by_few = selector.decide(few)
        selector.prepare(lambda: iter([texts]))
        assert selector.decide(texts).equals(by_few)
    assert set(config.reads) <= set(few.column_names)


@_of("source")
def test_sources(kind: Kind, made: Material, tmp_path: Path) -> None:
    config = _config(kind, made)
    schemas, listings, reads = [], [], []
    for turn in ("first", "second"):
        spool = tmp_path / turn
        spool.mkdir()
        source = config.build()
        schemas.append(source.schema())
        files = list(source.files(spool, {}))
        assert sum(file.rows for file in files) == COUNT
        listings.append([(file.name, file.rows, file.digest) for file in files])
        known = {file.name: file for file in files}
        assert list(source.files(spool, known)) == files
        reader = config.build()
        mapped = [reader.read(f, at, at + 1) for f in files for at in range(f.rows)]
        reads.append(pa.concat_tables([one.rows for one in mapped]).to_pylist())
        assert all(one.rows.schema == schemas[0] for one in mapped)
        assert all(one.reasons is None or one.reasons.null_count == 1 for one in mapped)
        assert reader.read(files[0], 0, 0).rows.num_rows == 0
    assert schemas[0] == schemas[1]
    assert not set(KEYS) & set(schemas[0].names)
    assert listings[0] == listings[1]
    assert reads[0] == reads[1]
    assert len({row["uid"] for row in reads[0]}) == COUNT
