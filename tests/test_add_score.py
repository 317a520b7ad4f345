"""One more scorer over a finished run: the same numbers as if the recipe had had it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate as package
from curate.core.errors import StoreError
from curate.core.failpoints import VARIABLE
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from tests.images.pictures import jpeg
from tests.models.checkpoints import tiny_med
from tests.models.tiny_scorers import tiny_clip
from tests.recipes import (
    TEXTS,
    curate,
    curate_process,
    folder_recipe,
    installed_plugin,
    list_recipe,
    picture_folder,
    whole_table,
    write_recipe,
)
from tests.stages.download.site import Answerer, response, serve

SECOND = ("--kind", "letters", "--set", "as=second", "--set", "power=2")


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def _texts() -> list[str]:
    return [f"{text} {turn}" for turn in range(4) for text in TEXTS]


def _recipe(tmp_path: Path, **changes: Any) -> Path:
    picture_folder(tmp_path / "pictures", _texts())
    return write_recipe(tmp_path / "recipe.yaml", folder_recipe(tmp_path, **changes))


def _stages(tmp_path: Path, *more: dict[str, Any]) -> list[dict[str, Any]]:
    return [*folder_recipe(tmp_path)["stages"], *more]


def _ran(tmp_path: Path, **changes: Any) -> Path:
    result = curate("run", _recipe(tmp_path, **changes), "--json")
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_column_is_the_one_that_the_recipe_would_have_given(tmp_path: Path) -> None:
    run = _ran(tmp_path)
    stages = _stages(tmp_path, {"kind": "letters", "as": "second", "power": 2})
    wanted = tmp_path / "wanted"
    _ran(tmp_path, stages=stages, output=str(wanted))
    before = _content(run / "passes")
    result = curate("add-score", run, *SECOND, "--json")
    assert result.exit_code == 0, result.output
    (said,) = json.loads(result.stdout)["added"]
    table = whole_table(run)
    assert (said["columns"], said["rows"]) == (["second_itm"], table.num_rows)
    assert table.equals(whole_table(wanted))
    assert _content(run / "passes") == before
    left, right = (package.open_run(folder).canaries() for folder in (run, wanted))
    assert left["second_itm"].notna().sum() == 9  # two pictures in a partition, at least
    names = ["partition", "row", "text", "second_itm"]
    left, right = (one.dropna(subset=["second_itm"])[names] for one in (left, right))
    assert left.to_dict("records") == right.to_dict("records")


def test_every_reader_sees_it_and_nothing_is_out_of_date(tmp_path: Path) -> None:
    run = _ran(tmp_path, sinks=[{"kind": "lance"}], export=[{"kind": "webdataset"}])
    view = lancedb.connect(str(run)).open_table("table")
    fragments = len(view.to_lance().get_fragments())
    assert curate("add-score", run, *SECOND).exit_code == 0
    assert package.open_run(run).texts(selection="default")["second_itm"].notna().any()
    chosen = curate(
        *("select", run, "--kind", "threshold", "--set", "column=second_itm"),
        *("--set", "min=0.1", "--name", "by-second", "--json"),
    )
    texts = package.open_run(run).texts(selection="by-second")
    good = (texts["second_itm"] >= 0.1) & texts["reason"].isna()
    assert json.loads(chosen.stdout)["selected"] == {"web": good.sum()}
    assert texts["selected"].equals(good.rename("selected"))
    assert "second_itm" in (curate("report", run).stdout and (run / "report.html").read_text())
    (step,) = json.loads(curate("status", run, "--json").stdout)["added"]
    assert (step["step"], step["complete"]) == ("second", True)
    view = lancedb.connect(str(run)).open_table("table")
    assert len(view.to_lance().get_fragments()) == fragments
    rows = view.to_arrow().sort_by([("partition", "ascending"), ("row", "ascending")])
    assert rows.to_pylist() == whole_table(run).to_pylist()
    exported = curate("export", run, "--selection", "by-second", "--kind", "blip_json", "--json")
    assert exported.exit_code == 0
    assert json.loads(exported.stdout)["samples"] == good.sum()
    again = curate("run", tmp_path / "recipe.yaml")
    assert "nothing to do" in again.stdout


def test_twice_is_nothing_and_another_of_the_name_is_refused(tmp_path: Path) -> None:
    run = _ran(tmp_path)
    assert curate("add-score", run, *SECOND).exit_code == 0
    plan = (run / "plan.json").read_bytes()
    again = curate("add-score", run, *SECOND)
    assert "nothing to do" in again.stdout
    assert (run / "plan.json").read_bytes() == plan
    other = [*SECOND[:-1], "power=3"]
    refused = curate("add-score", run, *other)
    assert refused.exit_code == 2
    assert (
        "'second' with other settings (as: second, kind: scorers/letters, power: 2.0)"
        in refused.stderr
    )
    assert "--replace" in refused.stderr
    select = ("select", run, "--kind", "threshold", "--set", "column=second_itm", "--set", "min=0")
    assert curate(*select, "--name", "chosen").exit_code == 0
    before = whole_table(run)["second_itm"]
    replaced = json.loads(curate("add-score", run, *other, "--replace", "--json").stdout)
    assert replaced["added"][0]["replaced"] is True
    assert whole_table(run)["second_itm"] != before
    with pytest.raises(StoreError, match="decided on an earlier table"):
        package.open_run(run).texts(selection="chosen")
    package.open_run(run).texts(selection="default")
    assert curate("add-score", run, "--remove", "second").exit_code == 0
    assert "second_itm" not in package.open_run(run).columns
    back = json.loads(curate("add-score", run, *SECOND, "--json").stdout)
    assert back["added"][0]["worked"] == 0
    assert whole_table(run)["second_itm"] == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kind", "letters"), "has a stage 'letters' already"),
        (("--kind", "lettres"), "letters"),
        (("--kind", "letters", "--set", "power=x"), "power"),
        (("--kind", "letters", "--remove", "letters"), "give one of"),
        (("--remove", "first"), "no scorer 'first' was added"),
        (("--kind", "clip", "--set", "model=nowhere/at-all-1"), "nowhere"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    run = _ran(tmp_path)
    result = curate("add-score", run, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (run / "added").exists()


def test_partitions_set_aside_are_taken_up_again(tmp_path: Path) -> None:
    run = _ran(tmp_path)
    bad = ("--kind", "letters", "--set", "as=bad", "--set")
    failed = curate("add-score", run, *bad, "sleep_s=-1")  # no time to sleep
    assert failed.exit_code == 3
    assert "0 rows scored" in failed.stdout
    assert "--retry quarantined" in failed.stdout
    table = whole_table(run)
    assert not any(any(own) for own in table["bad_itm"].to_pylist())  # lists of nulls
    assert curate("add-score", run, *bad, "sleep_s=0").exit_code == 3  # they are set aside still
    retry = ("run", tmp_path / "recipe.yaml", "--retry", "quarantined")
    assert curate(*retry).exit_code == 0
    assert whole_table(run)["bad_itm"].to_pylist() == table["letters_itm"].to_pylist()
    assert whole_table(run).drop_columns(["bad_itm"]).equals(table.drop_columns(["bad_itm"]))


def test_a_recipe_of_scorers(tmp_path: Path) -> None:
    run = _ran(tmp_path)
    scorers = {"stages": [{"kind": "letters", "as": name, "power": 2} for name in ("b", "c")]}
    path = write_recipe(tmp_path / "scorers.yaml", scorers)
    assert curate("add-score", run, path, "--set", "stages[1].power=1").exit_code == 0
    table = whole_table(run)
    assert table["c_itm"] == table["letters_itm"] != table["b_itm"]
    wrong = {"stages": [{"kind": "letters"}, {"kind": "letters"}], "select": {}, "engine": {"x": 1}}
    result = curate("add-score", run, write_recipe(tmp_path / "wrong.yaml", wrong))
    assert result.exit_code == 2
    for said in ("has no 'select'", "two scorers are called 'letters'", "engine"):
        assert said in result.stderr
    empty = curate("add-score", run, write_recipe(tmp_path / "none.yaml", {"stages": []}))
    assert "'stages' is missing" in empty.stderr


def test_pictures_embeddings_and_synthetic_texts(tmp_path: Path) -> None:
    captioner = {"kind": "captioners/med", "model": str(tiny_med(tmp_path / "med"))}
    stages = _stages(tmp_path, {**captioner, "num_captions": 1, "max_tokens": 4, "min_tokens": 1})
    run = _ran(tmp_path, stages=stages)
    model = tiny_clip(tmp_path / "clip")
    options = (f"model={model}", "as=near", "embed=true", "canaries=0.5")
    clip = [part for option in options for part in ("--set", option)]
    assert curate("add-score", run, "--kind", "clip", *clip).exit_code == 0
    texts = package.open_run(run).texts()
    scored = texts[texts["reason"].isna() & (texts["text"] != "")]
    assert set(scored["source"]) == {"web", "synthetic"}
    assert scored["near_itc"].notna().all()
    table = whole_table(run)
    assert table.schema.field("near_embed").type == pa.list_(pa.float16(), 16)
    assert table["near_embed"].null_count == 0
    assert package.open_run(run).canaries()["near_itc"].notna().sum() >= 10


def test_a_run_that_grows_or_changes_takes_its_scorers_along(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    run = _ran(tmp_path)
    assert curate("add-score", run, *SECOND).exit_code == 0
    picture_folder(tmp_path / "pictures", [*_texts(), "a late cat", "a late dog"])
    assert curate("run", recipe).exit_code == 0
    table = whole_table(run)
    assert {"a late cat", "a late dog"} <= {text for row in table["texts"] for text in row.as_py()}
    assert table["second_itm"].null_count == 0
    changed = curate("run", recipe, "--set", "stages[2].min_words=3")
    assert changed.exit_code == 0
    texts = package.open_run(run).texts()
    assert texts["second_itm"].notna().all()
    # the recipe takes the scorer over: the same numbers, as a stage of its own
    stages = _stages(tmp_path, {"kind": "letters", "as": "second", "power": 2})
    taken = curate("run", write_recipe(recipe, folder_recipe(tmp_path, stages=stages)))
    assert "is a stage of the recipe now" in taken.stdout
    assert CommittedTable.open(run).added == ()
    assert whole_table(run)["second_itm"] == table["second_itm"]


def test_rows_that_a_retry_brings_are_scored(tmp_path: Path) -> None:
    bad = response(b"later", status="503 Service Unavailable")
    overloaded = ["for now"]

    def page(number: int) -> Answerer:
        good = response(jpeg(number, width=80, height=80))
        return lambda seen: bad if number % 3 == 0 and overloaded else good

    with serve() as site:
        site.pages = {f"/{number}.jpg": page(number) for number in range(9)}
        listed = tmp_path / "list.csv"
        urls = [site.url(f"/{number}.jpg") for number in range(9)]
        listed.write_text("url,text\n" + "".join(f"{url},a text\n" for url in urls))
        fetch = {"kind": "fetch", "retries": 0, "robots_txt": False, "resolve": site.resolve}
        recipe = write_recipe(
            tmp_path / "r.yaml", list_recipe(tmp_path, listed, stages=[fetch, {"kind": "letters"}])
        )
        assert curate("run", recipe).exit_code == 0
        run = tmp_path / "run"
        assert curate("add-score", run, *SECOND).exit_code == 0
        overloaded.clear()
        asked = site.asked.total()
        assert curate("run", recipe, "--retry", "http_5xx").exit_code == 0
        assert site.asked.total() == asked + 3
    table = whole_table(run)
    assert table.num_rows == 9
    assert table["second_itm"].null_count == 0
    (added,) = CommittedTable.open(run).added
    assert RunStore(run).commits(added.node) == {0: 1, 1: 1, 2: 0}


def test_a_picture_that_cannot_be_scored_stays_unscored(tmp_path: Path) -> None:
    """What a scorer stops is its own affair: the table keeps the row, without a number."""
    run = _ran(tmp_path, stages=_stages(tmp_path)[:1], select=None)
    rows = whole_table(run).num_rows
    store = RunStore(run)
    node = CommittedTable.open(run).nodes[0]
    path = store.part(node, 1)
    part = pq.read_table(path)
    images = part["image"].to_pylist()
    images[1] = images[1][:100]
    index = part.schema.get_field_index("image")
    pq.write_table(part.set_column(index, part.field(index), pa.array(images)), path)
    model = tiny_clip(tmp_path / "clip")
    result = curate("add-score", run, "--kind", "clip", "--set", f"model={model}", "--json")
    (said,) = json.loads(result.stdout)["added"]
    assert (said["rows"], said["dropped"]) == (rows - 1, {"truncated_image": 1})
    table = whole_table(run)
    assert table.num_rows == rows
    assert table["clip_itc"].to_pylist()[4] == [None]
    assert package.open_run(run).ledger().empty


# -- kills -----------------------------------------------------------------------------------------

PLACES = [f"file.renamed@added:{turn}" for turn in (1, 4, 7)]
PLACES += ["commit.flushed:2", "commit.done:2", "added.scored", "added.placed", "lance.exchanged"]


def _dies(run: Path, place: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, place)
        process = curate_process("add-score", run, *SECOND)
    out, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, out + said


@pytest.mark.slow
def test_killed_anywhere_it_goes_on(tmp_path: Path) -> None:
    run = _ran(tmp_path, sinks=[{"kind": "lance"}])
    shutil.copytree(run, tmp_path / "quiet")
    assert curate("add-score", tmp_path / "quiet", *SECOND).exit_code == 0
    wanted = whole_table(tmp_path / "quiet")
    for place in PLACES:
        _dies(run, place)
        there = "second_itm" in package.open_run(run).columns
        assert there == (place in ("added.placed", "lance.exchanged"))
    again = json.loads(curate("add-score", run, *SECOND, "--json").stdout)
    assert again["added"][0]["rows"] == wanted.num_rows
    assert whole_table(run).equals(wanted)
    rows = lancedb.connect(str(run)).open_table("table").to_arrow()
    rows = rows.sort_by([("partition", "ascending"), ("row", "ascending")])
    assert rows.to_pylist() == wanted.to_pylist()
    assert not [*(run / "added").rglob(".*")]


@pytest.mark.slow
def test_on_ray(tmp_path: Path) -> None:
    run = _ran(tmp_path)
    shutil.copytree(run, tmp_path / "local")
    assert curate("add-score", tmp_path / "local", *SECOND).exit_code == 0
    scorers = {
        "stages": [{"kind": "letters", "as": "second", "power": 2}],
        "engine": {"kind": "ray", "workers": {"second": 2}},
    }
    process = curate_process("add-score", run, write_recipe(tmp_path / "s.yaml", scorers))
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, out + said
    assert whole_table(run).equals(whole_table(tmp_path / "local"))
