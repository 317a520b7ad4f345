from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import curate
from curate.core.columns import IMAGE, URL
from curate.core.errors import StoreError
from curate.core.fakes import (
    FakeFilterConfig,
    FakeMapConfig,
    FakeScorerConfig,
    FakeSourceConfig,
    fake_plan,
)
from curate.core.selection import select
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.engine.local import LocalEngine
from curate.passes import PassRunner, Watcher
from curate.stages.selectors.threshold import Config as ThresholdConfig
from tests.core.tables import Row, Text, commit_table
from tests.images.pictures import jpeg

EVIL = "<script>alert('x')</script>"


def row(number: int, *texts: Text, url: str = "http://x.test/a.jpg") -> Row:
    return Row(texts, extra={"image": jpeg(number), "url": url})


PARTITIONS = [
    [
        row(0, Text("a dog", 0.9), Text("a bird", 0.1, "synthetic")),
        row(1, Text(EVIL, 0.4), url=f"http://x.test/{EVIL}"),
    ],
    [],
    [row(2, Text("a cat", None, reason="too_short")), row(3)],
]


@pytest.fixture
def run(tmp_path: Path) -> curate.RunView:
    table = commit_table(tmp_path, PARTITIONS, extra=[URL, IMAGE])
    select(table, ThresholdConfig(column="x_itm", min=0.3).build(), {}, name="default")
    return curate.open_run(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> curate.RunView:
    """A run with a ledger and canaries."""
    root = tmp_path_factory.mktemp("finished")
    plan = fake_plan(
        FakeSourceConfig(files=(25,), partition_rows=20, bad_every=7),
        FakeMapConfig(image_bytes=20),
        FakeFilterConfig(),
        FakeScorerConfig(),
    )
    store = RunStore(root)
    store.write_plan(plan.nodes, plan.schema, {"name": "finished"})
    PassRunner(plan, store, LocalEngine, Watcher()).run()
    return curate.open_run(root)


def test_rows_leave_the_images_alone_unless_they_are_asked_for(run: curate.RunView) -> None:
    rows = run.rows()
    assert isinstance(rows, pd.DataFrame)
    assert list(rows.columns) == [name for name in run.columns if name != "image"]
    assert rows["uid"].tolist() == ["0-0", "0-1", "2-0", "2-1"]
    table = run.rows(["image", "uid"], arrow=True)
    assert isinstance(table, pa.Table)
    assert table.column_names == ["partition", "row", "image", "uid"]
    assert table["image"][0].as_py() == jpeg(0)


def test_texts_with_row_columns_and_a_selection(run: curate.RunView) -> None:
    texts = run.texts(["url"], selection="default")
    assert texts["text"].tolist() == ["a dog", "a bird", EVIL, "a cat"]
    assert texts["selected"].tolist() == [True, False, True, False]
    assert texts["rejected"].tolist() == [None, "below_min", None, "too_short"]
    assert texts["url"].tolist()[0] == "http://x.test/a.jpg"
    assert "selected" not in run.texts().columns
    arrow = run.texts(arrow=True)
    assert arrow.schema.field("x_itm").type == pa.float32()


def test_the_ledger(finished: curate.RunView) -> None:
    ledger = finished.ledger()
    assert isinstance(ledger, pd.DataFrame)
    counts = ledger.groupby(["stage", "reason"]).size().to_dict()
    assert counts == {("source", "no_url"): 3, ("fakefilter", "too_short"): 9}
    assert len(finished.rows()) + len(ledger) == 25
    assert finished.ledger(arrow=True).num_rows == 12


def test_the_canaries_are_apart_from_the_texts(finished: curate.RunView) -> None:
    canaries = finished.canaries()
    assert canaries["text"].tolist() == ["planted", "planted"]
    assert canaries["fake_itm"].tolist() == [0.5, 0.5]
    assert "planted" not in finished.texts()["text"].tolist()
    assert finished.canaries(arrow=True).column_names[-1] == "fake_itm"


def test_a_run_without_ledger_or_canaries_has_their_columns(run: curate.RunView) -> None:
    assert list(run.ledger().columns)[:2] == ["partition", "row"]
    assert len(run.ledger()) == 0
    assert "text_row" in run.canaries().columns


def test_a_run_that_has_only_begun_has_its_columns(tmp_path: Path) -> None:
    run = curate.RunView(commit_table(tmp_path, [], extra=[URL, IMAGE]))
    assert list(run.texts(["url"]).columns)[-2:] == ["x_itm", "url"]
    assert "selected" not in run.texts().columns
    assert len(run.rows()) == 0
    assert "uid" in run.rows().columns
    assert run.show().count == 0


def test_what_there_is(run: curate.RunView, finished: curate.RunView) -> None:
    assert (run.name, run.selections) == ("table", ["default"])
    assert finished.selections == []
    assert "x_itm" in run.columns


def test_unknown_names_are_answered_with_the_nearest(run: curate.RunView) -> None:
    with pytest.raises(StoreError, match=r"no column 'ulr' .*did you mean 'url'"):
        run.rows(["ulr"])
    with pytest.raises(StoreError, match=r"no column 'ulr'"):
        run.texts(["ulr"])
    with pytest.raises(StoreError, match="no selection 'deflt'"):
        run.texts(selection="deflt")


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no run"):
        curate.open_run(tmp_path / "nowhere")


def test_looking_changes_nothing(run: curate.RunView) -> None:
    root = run.table.store.root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    run.rows()
    run.texts(selection="default")
    run.show("x_itm > 0")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


# -- show ---------------------------------------------------------------------------------------


def test_every_text_from_outside_is_escaped(run: curate.RunView) -> None:
    shown = run.show()._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 2  # the text and the URL


def test_pictures_come_with_their_texts_scores_and_verdicts(run: curate.RunView) -> None:
    shown = run.show(selection="default")
    assert shown.count == 3  # a picture without a text has none to show
    assert "x_itm 0.90" in shown.html
    assert '<p class="no">a bird</p>' in shown.html
    assert "below_min" in shown.html
    assert "<p>a dog</p>" in shown.html
    assert shown.html.count("data:image/jpeg;base64,") == 3
    assert "nan" not in shown.html


def test_a_query_chooses_the_pictures(run: curate.RunView) -> None:
    assert run.show("x_itm > 0.5").count == 1
    assert run.show("x_itm > 99").count == 0
    assert run.show(limit=2).count == 2
    assert "a cat" in run.show("reason == 'too_short'").html


def test_a_function_chooses_the_pictures_and_their_order(run: curate.RunView) -> None:
    shown = run.show(lambda texts: texts.sort_values("x_itm"), limit=2)
    assert shown.html.index("a bird") < shown.html.index("&lt;script")


@pytest.mark.parametrize(
    "query", ["x_itn > 1", "x_itm >", "x_itm", "1 + 1", "", "@missing > 1", "text > 5", "import os"]
)
def test_a_query_that_cannot_be_used_says_so_and_names_the_columns(
    run: curate.RunView, query: str
) -> None:
    with pytest.raises(StoreError, match=r"is no query over the texts .*columns: partition, row"):
        run.show(query)


def test_a_function_that_gives_no_rows_says_so(run: curate.RunView) -> None:
    with pytest.raises(StoreError, match="these are no rows of texts"):
        run.show(lambda texts: texts["text"])


def test_a_gallery_is_saved_as_one_file(run: curate.RunView, tmp_path: Path) -> None:
    path = run.show().save(tmp_path / "out" / "g.html")
    body = path.read_text(encoding="utf-8")
    assert body.startswith("<!doctype html>")
    assert "<script" not in body
    assert "Gallery of 3 pictures" in repr(run.show())


def test_a_run_without_pictures_says_so(tmp_path: Path) -> None:
    run = curate.RunView(commit_table(tmp_path, [[Row([Text("a")])]]))
    with pytest.raises(StoreError, match="has no pictures: no stage wrote 'image'"):
        run.show()


def test_a_picture_that_cannot_be_opened_is_shown_empty(finished: curate.RunView) -> None:
    shown = finished.show(limit=1)  # images of the fake stage are no pictures
    assert shown.count == 1
    assert 'src=""' in shown.html


def test_the_table_behind_a_run_view(run: curate.RunView) -> None:
    assert isinstance(run.table, CommittedTable)
    assert curate.__version__


def test_the_funnel_names_every_row_that_stopped(finished: curate.RunView) -> None:
    funnel = finished.funnel()
    assert list(funnel.columns) == ["stage", "reached", "reason", "rows", "share"]
    ledger = finished.ledger().groupby(["stage", "reason"]).size()
    named = funnel[funnel["rows"] > 0].set_index(["stage", "reason"])["rows"]
    assert named.to_dict() == ledger.to_dict()
    assert funnel["rows"].sum() + len(finished.rows()) == 25
    first = funnel.drop_duplicates("stage").set_index("stage")
    assert first["reached"].iloc[0] == 25
    assert (funnel["share"] * funnel["reached"]).round().astype(int).tolist() == (
        funnel["rows"].tolist()
    )


def test_charts_have_the_threshold_of_the_selection_and_no_script(
    run: curate.RunView, tmp_path: Path
) -> None:
    charts = run.charts()
    assert charts.scores == ("x_itm",)
    assert "kept from 0.3" in charts._repr_html_()
    assert "<script" not in charts.html
    assert repr(charts).startswith("<Charts of x_itm")
    assert charts.save(tmp_path / "charts.html").read_text().startswith("<!doctype html>")


def test_charts_of_a_run_without_scores_are_refused(tmp_path: Path) -> None:
    commit_table(tmp_path, [[Row((Text("a cat", None, reason="too_short"),))]])
    with pytest.raises(StoreError, match="no scores to draw"):
        curate.open_run(tmp_path).charts()


def test_thresholds_as_a_frame(run: curate.RunView) -> None:
    frame = run.thresholds("x_itm", at=[0.3])
    assert frame["web"].tolist() == [1.0]
    assert frame["synthetic"].tolist() == [0.0]
