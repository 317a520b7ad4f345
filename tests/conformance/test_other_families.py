"""What sinks, exporters, evaluators and objectives owe, asserted for each file of a family."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from curate.core.columns import IMAGE, URL
from curate.core.config import ExporterConfig, FrozenConfig, SinkConfig
from curate.core.families import FAMILIES, Kind, kinds
from curate.core.pairs import ListSource
from curate.core.selection import Selection, select
from curate.core.stage import Exporter, Progress, Sink
from curate.core.table import CommittedTable
from curate.evaluate.evaluators._base import EvaluatorConfig, Subject
from curate.models.pair_model import PairModel
from curate.pretrain.architectures._base import ABILITIES, ArchitectureConfig
from curate.pretrain.objectives._base import ObjectiveConfig
from curate.pretrain.objectives._forward import Forward, Pairs
from curate.pretrain.queues import Queues
from curate.pretrain.sections import TeacherConfig
from curate.pretrain.teacher import Teacher
from curate.stages.selectors.threshold import Config as ThresholdConfig
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg
from tests.models.med_models import med_tokenizer
from tests.pretrain.models import SETTINGS, architecture, small_model
from tests.pretrain.scenes import scenes

BASES: dict[str, type[FrozenConfig]] = {
    "sinks": SinkConfig,
    "exporters": ExporterConfig,
    "evaluators": EvaluatorConfig,
    "architectures": ArchitectureConfig,
    "objectives": ObjectiveConfig,
}
ALL = [
    kind for family in BASES for kind in kinds(family).values() if kind.module.startswith("curate.")
]
#: What a kind needs beside its defaults; none for a kind not named here.
OPTIONS: dict[str, dict[str, Any]] = {
    "evaluators/captioning": {"java": "never", "max_tokens": 6},
}


def _of(*families: str) -> Any:
    chosen = [kind for kind in ALL if kind.family in families]
    return pytest.mark.parametrize("kind", chosen, ids=lambda kind: f"{kind.family}/{kind.name}")


every = _of(*BASES)


def _config(kind: Kind, **more: Any) -> Any:
    return kind.config()(**OPTIONS.get(f"{kind.family}/{kind.name}", {}), **more)


# -- the file -----------------------------------------------------------------------------------


def test_every_family_is_held_to_account_here_or_beside() -> None:
    beside = (Path(__file__).parent / "test_stages.py").read_text()
    assert '("sources", *STAGE_FAMILIES, "selectors")' in beside
    assert set(FAMILIES) - set(BASES) == {
        *("sources", "download", "filters", "text_filters", "dedup"),
        *("captioners", "scorers", "selectors"),
    }


@every
def test_a_file_holds_one_documented_config(kind: Kind) -> None:
    module = importlib.import_module(kind.module)
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, FrozenConfig)
        and value.__module__ == kind.module
    ]
    assert [value.__name__ for value in own] == ["Config"]
    assert issubclass(kind.config(), BASES[kind.family])
    assert inspect.getdoc(kind.config())
    assert kind.summary() == inspect.cleandoc(module.__doc__ or "").split("\n", 1)[0]
    assert kind.summary().endswith(".")


@every
def test_a_config_is_frozen_pickles_and_refuses_what_it_does_not_know(kind: Kind) -> None:
    config = _config(kind)
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(ValidationError, match="frozen"):
        config.__class__.__setattr__(config, next(iter(type(config).model_fields)), None)
    with pytest.raises(ValidationError, match="no_such_key"):
        _config(kind, no_such_key=1)
    dumped = config.model_dump(mode="json", by_alias=True)
    assert kind.config().model_validate(json.loads(json.dumps(dumped))) == config


@every
def test_every_number_is_bounded_and_explained(kind: Kind) -> None:
    for name, info in kind.config().model_fields.items():
        if name == "kind":
            continue
        mro = [inspect.getdoc(base) or "" for base in kind.config().__mro__]
        assert any(f"{name}: " in text for text in mro), f"{name} is not explained"
        if info.annotation in (int, float):
            assert info.metadata, f"{name} has no bounds"


def test_their_files_need_no_heavy_import() -> None:
    modules = [kind.module for kind in ALL]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "heavy = {'torch', 'ray', 'transformers', 'lancedb', 'webdataset', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


# -- sinks and exporters ------------------------------------------------------------------------

#: DataComp's uids come with its rows as a column of their own.
SOURCE_UID = pa.field("source_uid", pa.string())
EXTRA = [URL, IMAGE, SOURCE_UID]


def row(number: int, *texts: Text) -> Row:
    facts = {"url": f"http://x.test/{number}.jpg", "source_uid": f"{number:032x}"}
    return Row(texts, extra={"image": jpeg(number), **facts})


PARTITIONS = [
    [row(0, Text("a red dog", 0.9), Text("no", 0.1)), row(1)],
    [],
    [row(2, Text("two birds", 0.7))],
]


class Told:
    """Counts of progress, as a step reports them."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.seen.append((done, total))


def files(root: Path) -> dict[str, bytes]:
    """Return files' bytes by name, without what Lance writes with times and random names."""
    found = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in found
        if not {"_versions", "_transactions"} & set(path.parts)
    }


def passes(table: CommittedTable) -> dict[str, bytes]:
    return files(table.store.root / "passes")


def fits(told: Told) -> None:
    assert all(0 < done <= total for done, total in told.seen)
    assert told.seen == sorted(told.seen)


@_of("sinks")
@pytest.mark.parametrize("partitions", [PARTITIONS, [[], []], []], ids=["some", "empty", "none"])
def test_a_sink_is_safe_to_repeat_and_leaves_the_table_alone(
    kind: Kind, partitions: list[list[Row]], tmp_path: Path
) -> None:
    table = commit_table(tmp_path, partitions, extra=EXTRA)
    before = passes(table)
    told = Told()
    sink = _config(kind).build()
    assert isinstance(sink, Sink)
    json.dumps(dict(sink.index(table, told)))
    fits(told)
    again = Told()
    json.dumps(dict(_config(kind).build().index(table, again)))
    assert again.seen == []  # nothing to do, and nothing done
    assert passes(table) == before


def _export(
    kind: Kind, table: CommittedTable, selection: Selection, output: Path, told: Progress
) -> dict[str, Any]:
    exporter = _config(kind).build()
    assert isinstance(exporter, Exporter)
    return dict(exporter.export(table, selection, output, told))


@_of("exporters")
@pytest.mark.parametrize("least", [0.5, 2.0], ids=["some", "none"])
def test_an_exporter_gives_the_same_bytes_and_leaves_the_table_alone(
    kind: Kind, least: float, tmp_path: Path
) -> None:
    table = commit_table(tmp_path / "run", PARTITIONS, extra=EXTRA)
    selector = ThresholdConfig(column="x_itm", min=least).build()
    selection, _ = select(table, selector, {}, name="default")
    before = passes(table)
    told = Told()
    manifest = _export(kind, table, selection, tmp_path / "a", told)
    fits(told)
    json.dumps(manifest)
    assert manifest["samples"] == selection.selected == (2 if least == 0.5 else 0)
    assert manifest["output"] == str(tmp_path / "a")
    made = files(tmp_path / "a")
    assert {shard["file"] for shard in manifest["shards"]} < set(made)
    _export(kind, table, selection, tmp_path / "b", Told())
    assert files(tmp_path / "b") == made  # wherever it is written
    again = Told()
    assert _export(kind, table, selection, tmp_path / "a", again) == manifest
    assert again.seen == []
    assert passes(table) == before


@_of("sinks", "exporters")
def test_what_is_read_is_declared(kind: Kind, tmp_path: Path) -> None:
    table = commit_table(tmp_path / "run", [[Row([Text("a", 0.9)])]])  # no pictures, no URLs
    missing = set(_config(kind).reads) - set(table.schema.names)
    selection, _ = select(
        table, ThresholdConfig(column="x_itm", min=0.5).build(), {}, name="default"
    )
    if missing:
        assert missing <= {"image", "source_uid"}
        return
    if kind.family == "sinks":
        _config(kind).build().index(table, Told())
    else:
        _export(kind, table, selection, tmp_path / "out", Told())


# -- evaluators ---------------------------------------------------------------------------------


@_of("evaluators")
def test_an_evaluator_is_known_by_its_files_name(kind: Kind) -> None:
    assert _config(kind).kind == kind.name
    with pytest.raises(ValidationError):
        kind.config()(kind="another")


@_of("evaluators")
def test_an_evaluator_repeats_itself_and_says_how_sure_it_is(kind: Kind) -> None:
    config = _config(kind)
    names = [name for name in SETTINGS if config.needs <= architecture(name).can]
    model = small_model(names[0], spread=0.1).eval()
    # one caption each, so that it is a label as well
    pairs = ListSource([pair._replace(texts=pair.texts[:1]) for pair in scenes(2).pairs])
    found, again, bare = (
        config.evaluate(
            Subject(
                *(model, med_tokenizer(), pairs),
                keep_tokens=bool(config.needs),
                batch_size=8,
                seed=1,
                resamplings=resamplings,
            )
        )
        for resamplings in (20, 20, 0)
    )
    said = found.to_json(details=True)
    assert json.dumps(said) == json.dumps(again.to_json(details=True))
    assert found.lines()
    assert set(said) >= set(found.details)
    assert found.intervals
    for name, one in found.intervals.items():
        assert one.low <= one.value <= one.high, name
    assert not bare.intervals


# -- objectives ---------------------------------------------------------------------------------


def _model(kind: Kind) -> PairModel:
    """Return a small model without dropout that can do what the objective asks for."""
    names = [name for name in SETTINGS if kind.config().needs <= architecture(name).can]
    return small_model(names[0], spread=0.1)


def _forward(model: PairModel, count: int) -> Forward:
    """Return a step's shared outputs, with a teacher and a queue for those that look at them."""
    chance = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (count, 3, 32, 32), generator=chance, dtype=torch.uint8)
    ids_BL = torch.randint(8, 30, (count, 7), generator=chance)
    ids_BL[:, 0] = 2
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[0, 5:] = 0
    pairs = Pairs(model.encode_images(pixels), ids_BL, mask_BL, torch.arange(count))
    teacher = Forward(Teacher(model, TeacherConfig()).model, pairs, chance)
    queues = Queues(6, torch.device("cpu"))
    far = torch.randn(6, teacher.text_embeds.shape[1], generator=chance)
    queues.add(far, far.flip(0), torch.arange(100, 106))
    generator = torch.Generator().manual_seed(5)
    return Forward(model, pairs, generator, teacher=teacher, queues=queues, alpha=0.2)


@_of("objectives")
def test_an_objective_is_a_finite_scalar_that_teaches_and_repeats(kind: Kind) -> None:
    model = _model(kind)
    loss = _config(kind).loss(_forward(model, 4))
    assert loss.shape == ()
    assert 0 <= float(loss.detach()) < float("inf")
    loss.backward()
    moved = [w for w in model.parameters() if w.grad is not None and bool(w.grad.any())]
    assert len(moved) > 10
    assert all(bool(torch.isfinite(w.grad).all()) for w in moved)
    again = _config(kind).loss(_forward(model, 4))
    torch.testing.assert_close(again, loss)


@_of("objectives")
def test_an_objective_falls_when_it_is_followed(kind: Kind) -> None:
    model = _model(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = _config(kind).loss(_forward(model, 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@_of("objectives")
def test_an_objective_asks_for_what_some_architecture_can(kind: Kind) -> None:
    assert kind.config().needs <= set(ABILITIES)


@_of("architectures")
def test_an_architecture_has_what_it_says_it_can(kind: Kind) -> None:
    can = kind.config().can
    assert can <= set(ABILITIES)
    model = kind.config()().model_class()
    methods = {"match": "fuse", "write": "decode_logits", "prefix": "prefix_logits"}
    methods |= {"unmask": "mask_logits", "bias": "logit_bias"}
    assert all(hasattr(model, methods[ability]) for ability in can)


@_of("objectives")
def test_an_objective_is_known_by_its_files_name(kind: Kind) -> None:
    assert _config(kind).kind == kind.name
    with pytest.raises(ValidationError):
        kind.config()(kind="another")
    for weight in (0, -1):
        with pytest.raises(ValidationError, match="greater than 0"):
            _config(kind, weight=weight)
