"""The page of a run: what holds for every page, its numbers, and runs of which little is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.core.atomic import write_parquet
from curate.core.columns import IMAGE, URL
from curate.core.errors import StoreError
from curate.core.fakes import (
    FakeFilterConfig,
    FakeScorerConfig,
    FakeSourceConfig,
    fake_plan,
)
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.selection import Selection, select
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.local import LocalEngine
from curate.inspection.report import make_report
from curate.passes import PassRunner, Watcher
from curate.stages.selectors.threshold import Config
from curate.status.run import run_status
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg
from tests.inspection.html_pages import check_page
from tests.inspection.test_score_samples import plant_canaries
from tests.recipes import curate, folder_recipe, installed_plugin, picture_folder, write_recipe

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>\u202e\x00"
_OPTIONAL = {"scores", "canaries", "rounds", "hosts", "sizes", "languages", "throughput"}
LANGUAGE = pa.field("language", pa.string())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command line: seven pictures, one too small, scores, a selection."""
    tmp = tmp_path_factory.mktemp("report")
    picture_folder(tmp / "pictures")
    with installed_plugin():
        result = curate("run", write_recipe(tmp / "recipe.yaml", folder_recipe(tmp)))
    assert result.exit_code == 0, result.output
    assert f"curate report {tmp / 'run'}" in result.output
    return tmp / "run"


def _report(root: Path, selection: str | None = None) -> Any:
    return make_report(CommittedTable.open(root), selection)


def test_the_numbers_are_those_of_status_and_of_the_selection(run: Path) -> None:
    report = _report(run)
    figures, status = report.figures, run_status(run)
    facts = Selection.open(run, "default").facts
    dropped = [
        sum(sum(reasons.values()) for reasons in step["dropped"].values())
        for step in status["steps"]
    ]
    assert figures.rows_in == status["rows"] == 7
    assert figures.rows_dropped == sum(dropped) == 1
    assert figures.rows_kept == status["steps"][-1]["rows_out"] == figures.tally.rows == 6
    assert (figures.rows_waiting, figures.complete) == (0, True)
    assert figures.texts == facts["texts"]
    assert figures.texts_selected == sum(facts["selected"].values()) > 0
    seconds = {name: s for step in status["steps"] for name, s in step["seconds"].items()}
    assert {stage.name: stage.seconds for stage in figures.stages if stage.seconds} == seconds
    assert [stage.rows_in for stage in figures.stages if stage.name == "letters"] == [6]
    page = check_page(report.html)
    assert "stopped at resolution\N{MINUS SIGN}1" in page.section("funnel")
    assert "resolution: too_small" in page.section("reasons")
    assert f"texts selected{figures.texts_selected}" in page.section("funnel")
    assert "kept from 0.4" in page.section("scores")
    assert "letters" in page.section("throughput")
    assert "min_side: 60" in page.section("provenance")


def test_pictures_stand_in_the_page_with_texts_scores_and_verdicts(run: Path) -> None:
    page = check_page(_report(run).html)
    pairs = page.section("pairs")
    shown = page.all("img")
    rows = CommittedTable.open(run).rows(0).num_rows + CommittedTable.open(run).rows(1).num_rows
    assert 0 < len(shown) <= rows
    assert len({image.attributes["alt"] for image in shown}) == len(shown)
    for text in ("a red dog on the grass", "itm_below_threshold", "\N{CHECK MARK} selected"):
        assert text in pairs
    assert "letters_itm\N{NO-BREAK SPACE}0." in pairs


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    assert _report(run).html == _report(run).html


def test_nothing_may_be_fetched_or_run(run: Path) -> None:
    page = check_page(_report(run).html)
    policies = [
        one.attributes["content"]
        for one in page.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policies[0]
    assert "script-src" not in policies[0]


# -- what strangers wrote -----------------------------------------------------------------------


def _evil_run(root: Path) -> CommittedTable:
    rows = [
        Row(
            [Text(EVIL, 0.1 * number, EVIL, EVIL if number == 3 else None)],
            extra={"url": f"http://h{number}.test/{EVIL}", "image": jpeg(number), "language": EVIL},
        )
        for number in range(9)
    ]
    table = commit_table(root / "run", [rows], extra=[URL, IMAGE, LANGUAGE])
    stopped = {
        **{"partition": 0, "row": 100, "uid": EVIL, "url": EVIL, "texts": [EVIL, None]},
        **{"stage": EVIL, "reason": EVIL, "detail": EVIL},
    }
    ledger = pa.Table.from_pylist([stopped], schema=LEDGER_SCHEMA)
    write_parquet(table.store.ledger_part(table.nodes[0], 0), ledger)
    path = table.store.commit_file(table.nodes[0], 0)
    receipt = json.loads(path.read_text())
    receipt.update(rows_in=10, dropped={EVIL: {EVIL: 1}}, seconds={EVIL: 1.5})
    path.write_text(json.dumps(receipt))
    plan = json.loads((root / "run" / "plan.json").read_text())
    plan.update(name=EVIL, versions={EVIL: EVIL})
    (root / "run" / "plan.json").write_text(json.dumps(plan))
    (root / "run" / "recipe.yaml").write_text(f"name: {EVIL}")
    alarm = {"round": EVIL, "noise": {"web": 0.5}, "kept": {"web": 3}, "threshold": 0.1}
    (root / "bootstrap.json").write_text(json.dumps({"rounds": [alarm], "alarms": [EVIL]}))
    return CommittedTable.open(root / "run")


def test_whatever_a_stranger_wrote_stays_text(tmp_path: Path) -> None:
    table = _evil_run(tmp_path)
    config = Config(column="x_itm", min=0.4)
    select(table, config.build(), config.model_dump(), name="default")
    report = make_report(table)
    page = check_page(report.html)  # no script, no address, no attribute that runs
    assert "<script" not in report.html
    assert "\x00" not in report.html
    said = EVIL.replace("\x00", "\ufffd")
    for section in ("funnel", "reasons", "rounds", "pairs", "stopped", "throughput", "provenance"):
        assert said in page.section(section), section
    assert said[:40] in page.section("languages")
    assert said in page.all("h1")[0].text
    assert f"http://h4.test/{said}" in page.section("pairs")
    assert all(image.attributes["alt"].endswith(said) for image in page.all("img"))


# -- runs of which little is there ---------------------------------------------------------------


def test_a_run_with_zero_rows(tmp_path: Path) -> None:
    report = make_report(commit_table(tmp_path, [[]]))
    page = check_page(report.html)
    assert (report.figures.rows_in, report.figures.texts) == (0, 0)
    assert "No row has stopped." in page.section("reasons")
    assert [one.attributes["id"] for one in page.all("section")] == [
        *("funnel", "reasons", "provenance")
    ]


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    plan = fake_plan(
        FakeSourceConfig(files=(40,), partition_rows=10, bad_every=7),
        FakeFilterConfig(),
        FakeScorerConfig(num_cpus=1.0),
    )
    store = RunStore(tmp_path)
    store.write_plan(plan.nodes, plan.schema, {"name": "begun"})
    check_page(make_report(CommittedTable.open(tmp_path)).html)  # before its first partition
    PassRunner(plan, store, LocalEngine, Watcher()).run()
    whole = make_report(CommittedTable.open(tmp_path)).figures
    assert (whole.complete, whole.rows_waiting, whole.rows_in) == (True, 0, 40)
    last = plan.legs[-1].node
    for path in (store.done_file(last), store.commit_file(last, 1), store.commit_file(last, 3)):
        path.unlink()
    report = make_report(CommittedTable.open(tmp_path))
    page = check_page(report.html)
    figures = report.figures
    assert not figures.complete
    assert figures.rows_waiting > 0
    assert figures.rows_in == figures.rows_dropped + figures.rows_kept + figures.rows_waiting
    assert f"not finished yet{figures.rows_waiting}" in page.section("funnel")
    assert "The run is not finished" in page.all("header")[0].text
    assert figures.tally.rows == figures.rows_kept


def test_without_selection_scores_or_pictures(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("one", None), Text("two", None, "synthetic")])]])
    page = check_page(make_report(table).html)
    sections = [one.attributes["id"] for one in page.all("section")]
    assert not _OPTIONAL & set(sections)
    assert "no picture to show" in page.section("pairs")
    assert "nothing has been selected" in page.section("pairs")


def test_canaries_against_the_threshold(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("one", 0.9)]), Row([Text("two", 0.1)])]])
    plant_canaries(table, [0.1, 0.2, 0.7, None])
    config = Config(column="x_itm", min=0.5)
    select(table, config.build(), config.model_dump(), name="default")
    report = make_report(table)
    assert report.figures.canaries_rejected == 2
    said = "Of 3 canaries scored by x_itm, the threshold of selection 'default' rejects 2 (66.7%)."
    assert said in check_page(report.html).section("canaries")


def test_a_threshold_that_no_score_comes_near_is_said_and_not_drawn(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("one", 0.9)]), Row([Text("two", None)])]])
    config = Config(column="x_itm", min=-5.0)
    select(table, config.build(), config.model_dump(), name="default")
    page = check_page(make_report(table).html)
    captions = [one.text for one in page.all("figcaption")]
    assert captions == ["Texts without x_itm: 1. The threshold -5 lies beyond every score."]
    assert not [one for one in page.all("line") if one.attributes["class"] == "threshold"]


def test_no_password_of_the_recipe_leaves_the_run(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[]])
    (tmp_path / "recipe.yaml").write_text("path: https://me:secret@lists.test/a@b.parquet\n")
    said = check_page(make_report(table).html).section("provenance")
    assert "secret" not in said
    assert "path: https://***@lists.test/a@b.parquet" in said


def test_which_selection(tmp_path: Path) -> None:
    table = commit_table(tmp_path, [[Row([Text("one", 0.9)]), Row([Text("two", 0.1)])]])
    for name, least in (("round-9", 0.0), ("round-10", 0.5)):
        config = Config(column="x_itm", min=least)
        select(table, config.build(), config.model_dump(), name=name)
    assert make_report(table).figures.selection == "round-10"
    assert make_report(table, "round-9").figures.texts_selected == 2
    with pytest.raises(StoreError, match="no selection 'round-8'"):
        make_report(table, "round-8")
    grown = commit_table(tmp_path, [[Row([Text("three", 0.9)])]], first=1)
    report = make_report(grown)
    assert report.figures.selection is None
    assert "earlier table" in check_page(report.html).all("header")[0].text
    with pytest.raises(StoreError, match="was decided on an earlier table"):
        make_report(grown, "round-9")


def test_a_page_stays_a_page(tmp_path: Path) -> None:
    long = Row([Text("x" * 5_000, 0.5) for _ in range(50)], extra={"image": jpeg(1)})
    small = commit_table(tmp_path / "small", [[long] * 30], extra=[IMAGE])
    large = commit_table(tmp_path / "large", [[long] * 30] * 3, extra=[IMAGE])
    pages = [make_report(table).html for table in (small, large)]
    assert len(check_page(pages[1]).all("img")) == 20
    assert "and 38 texts more" in pages[1]
    assert len(pages[1]) < 300_000
    assert abs(len(pages[0]) - len(pages[1])) < 2_000
