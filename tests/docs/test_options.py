"""The tables of options, columns and reasons say what the code says."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from curate.core import columns
from curate.core.config import FrozenConfig
from curate.core.families import FAMILIES, Kind, kinds
from curate.core.pairs import TableConfig
from curate.core.version import __version__
from curate.engine.base import EngineConfig
from curate.evaluate.config import EvaluateConfig
from curate.loop_config import ArmConfig, BootstrapConfig, ProveConfig
from curate.pretrain import config as pretrain
from curate.quickstart.config import LoopbackConfig
from curate.recipe import _SECTIONS
from tests.docs.pages import ROOT, Section, sections

RECIPES = sections("docs/recipes.md")
PRETRAIN = sections("docs/pretrain.md")
EVALUATE = sections("docs/evaluate.md")
BOOTSTRAP = sections("docs/bootstrap.md")
PROVE = sections("docs/prove.md")
KINDS = [
    kind
    for family in FAMILIES
    if family not in ("objectives", "architectures", "evaluators")
    for kind in kinds(family).values()
    if kind.module.startswith("curate.")
]
NAMED: list[tuple[Mapping[str, Section], str, type[FrozenConfig]]] = [
    (RECIPES, "Evaluate", EvaluateConfig),
    (RECIPES, "Engine", EngineConfig),
    (RECIPES, "Loopback", LoopbackConfig),
    (PRETRAIN, "pretrain", pretrain.PretrainConfig),
    (PRETRAIN, "pretrain.start", pretrain.StartConfig),
    (PRETRAIN, "pretrain.start.image", pretrain.ImageStart),
    (PRETRAIN, "pretrain.start.text", pretrain.TextStart),
    (PRETRAIN, "pretrain.data", pretrain.DataConfig),
    (PRETRAIN, "pretrain.data.tables", TableConfig),
    (PRETRAIN, "pretrain.data.texts", pretrain.TextsConfig),
    (PRETRAIN, "pretrain.augment", pretrain.AugmentConfig),
    (PRETRAIN, "pretrain.optim", pretrain.OptimConfig),
    (PRETRAIN, "pretrain.teacher", pretrain.TeacherConfig),
    (PRETRAIN, "pretrain.final", pretrain.FinalConfig),
    (PRETRAIN, "pretrain.workers", pretrain.WorkersConfig),
    (BOOTSTRAP, "bootstrap", BootstrapConfig),
    (PROVE, "prove", ProveConfig),
    (PROVE, "Arms", ArmConfig),
]
MISSING = object()


def documented(page: Mapping[str, Section], title: str) -> dict[str, str]:
    """Return the options of a section and of the sections of shared options it points at."""
    section = page[title]
    found: dict[str, str] = {}
    for target in re.findall(r"\]\(#([\w-]+-options)\)", section.text):
        shared = next(s.title for s in page.values() if s.anchor == target)
        found |= documented(page, shared)
    return found | section.options


def defaults(config: type[FrozenConfig]) -> dict[str, Any]:
    """Return defaults by option; MISSING where one must be given."""
    return {
        info.alias or name: MISSING
        if info.is_required()
        else info.get_default(call_default_factory=True)
        for name, info in config.model_fields.items()
    }


def same(said: str, default: Any) -> bool:
    if default is MISSING:
        return said == "required"
    if isinstance(default, BaseModel):
        return said == "below"
    value = yaml.safe_load(said.strip("`").replace("VERSION", __version__))
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def compare(page: Mapping[str, Section], title: str, config: type[FrozenConfig]) -> None:
    said, wanted = documented(page, title), defaults(config)
    assert set(said) == set(wanted), title
    wrong = {name: said[name] for name in said if not same(said[name], wanted[name])}
    assert not wrong, f"{title}: the defaults are { ({n: wanted[n] for n in wrong}) }"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.family}/{kind.name}")
def test_every_kind_with_its_options(kind: Kind) -> None:
    compare(RECIPES, f"{kind.family}/{kind.name}", kind.config())


def test_no_kind_that_is_not_there() -> None:
    headings = {title for title in RECIPES if "/" in title}
    assert headings == {f"{kind.family}/{kind.name}" for kind in KINDS}


@pytest.mark.parametrize(("page", "title", "config"), NAMED, ids=[title for _, title, _ in NAMED])
def test_settings_that_are_no_kinds(
    page: Mapping[str, Section], title: str, config: type[FrozenConfig]
) -> None:
    if title == "Evaluate":  # its tables' own settings stand below it
        said = {k: v for k, v in page[title].options.items() if k not in defaults(TableConfig)}
        assert set(said) == set(defaults(config))
        assert set(page[title].options) - set(said) == set(defaults(TableConfig))
        return
    compare(page, title, config)


def test_architectures() -> None:
    said = re.findall(r"^\| `(\w+)` \|", PRETRAIN["Architectures"].text, re.MULTILINE)
    assert set(said) == set(kinds("architectures"))


def test_evaluators() -> None:
    said = re.findall(r"^\| `(\w+)` \|", EVALUATE["Evaluation"].text, re.MULTILINE)
    assert set(said) == set(kinds("evaluators"))
    for name, kind in kinds("evaluators").items():
        options = defaults(kind.config())
        del options["kind"]
        assert set(EVALUATE[name].options) == set(options)
        for option, default in options.items():
            assert same(EVALUATE[name].options[option], default), f"{name}: {option}"


def test_objectives() -> None:
    text = PRETRAIN["Objectives"].text
    for name, kind in kinds("objectives").items():
        assert f"- `{name}`:" in text
        for option, default in defaults(kind.config()).items():
            if option != "kind":
                assert same(PRETRAIN["Objectives"].options[option], default), f"{name}: {option}"


def test_what_changes_no_result_is_all_that_the_fingerprint_leaves_out() -> None:
    text = RECIPES["Sections"].text
    line = next(line for line in text.splitlines() if line.startswith("Some options change speed"))
    said = set(re.findall(r"`(\w+)`", line))
    left_out = {
        name
        for kind in KINDS
        for name, info in kind.config().model_fields.items()
        if isinstance(info.json_schema_extra, dict)
        and info.json_schema_extra.get("fingerprint") is False
    }
    assert said == left_out


def test_sections_of_a_recipe() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes)? ?\|", RECIPES["Sections"].text, re.MULTILINE)
    assert {name for name, _ in rows} == set(_SECTIONS)
    assert {name for name, needed in rows if needed} == {"name", "source"}


def test_columns_of_a_row() -> None:
    names = re.findall(r"`(\w+)`", _first_cells(RECIPES["Columns of a row"].text))
    of_scorers = {"NAME_itc", "NAME_itm", "NAME_truncated", "NAME_embed"}
    assert set(names) - of_scorers == set(columns.STANDARD)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.family}/{kind.name}")
def test_reasons_are_those_of_the_code(kind: Kind) -> None:
    said = _reasons(RECIPES[f"{kind.family}/{kind.name}"].text)
    written = _sources(Path("curate"))
    for reason in said:
        code = "http_" if re.fullmatch(r"http_4\d\d", reason) else reason
        ending = reason.partition("_")[2].rpartition("_")[0]  # too_few_words: f"too_few_{unit}"
        assert f'"{code}"' in written or code == "http_" or f'"too_{ending}_' in written, reason


def test_reasons_of_the_quickstart_are_documented() -> None:
    """What ``faults`` plants and the configs name must be findable on the page."""
    everything = "\n".join(section.text for section in RECIPES.values())
    for module in ("curate/stages/download/fetch.py", "curate/stages/download/load.py"):
        docstring = (ROOT / module).read_text(encoding="utf-8").split("Attributes:")[0]
        for reason in re.findall(r"``([a-z_0-9]+)``", docstring.partition("Reasons:")[2]):
            if reason != "max_image_area":
                assert f"`{reason}`" in everything, reason
    fault = (ROOT / "curate/images/check.py").read_text(encoding="utf-8")
    for reason in re.findall(
        r"``([a-z_]+)``", fault.partition("stable code")[2].split("detail")[0]
    ):
        if reason != "prepare":
            assert f"`{reason}`" in everything, reason


def test_metrics() -> None:
    code = _sources(Path("curate/engine"))
    made = re.findall(r'metrics\.(Counter|Gauge)\(\s*"(\w+)"', code)
    wanted = {f"ray_{name}_total" if kind == "Counter" else f"ray_{name}" for kind, name in made}
    said = sections("docs/ray.md")["What to watch"].text
    assert wanted == set(re.findall(r"^\| `(\w+)` \|", said, re.MULTILINE))


def _first_cells(text: str) -> str:
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|"))


def _reasons(text: str) -> list[str]:
    lines = re.findall(r"Reasons(?: \(of texts\))?: ([^.]*)\.", text)
    return [reason for line in lines for reason in re.findall(r"`(\w+)`", line)]


@functools.cache
def _sources(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted((ROOT / folder).rglob("*.py")))
