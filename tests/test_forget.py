"""Rows taken out of a run for good: nothing of them is left, and nothing else has changed."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import curate as package
from curate.added_scores import add_scores
from curate.core.errors import StoreError
from curate.core.failpoints import POINTS, VARIABLE
from curate.core.families import find, kinds
from curate.core.ledger import LEDGER_SCHEMA
from curate.core.plan import StagePlan
from curate.core.selection import Selection, select
from curate.core.store import RunStore
from curate.core.table import CommittedTable
from curate.core.totals import Totals
from curate.engine.local import LocalEngine
from curate.forgetting.forget import forget
from curate.forgetting.found import Asked
from curate.outcome import Reporter
from curate.stages.selectors.threshold import Config as ThresholdConfig
from curate.stages.selectors.top_fraction import Config as TopFractionConfig
from tests.images.pictures import jpeg
from tests.recipes import (
    curate,
    curate_process,
    folder_recipe,
    installed_plugin,
    list_recipe,
    picture_folder,
    whole_table,
    write_recipe,
)
from tests.stages.download.site import Answerer, Site, response, serve
from tests.test_retry import TIMEOUT, plan_of, run

ROWS = 14
#: The row whose text has few letters.
POOR = 12


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def quiet(done: int, total: int) -> None:
    """Say nothing of progress."""


# -- any rows of any run ---------------------------------------------------------------------------


def _contents(root: Path) -> dict[str, pa.Table]:
    table = CommittedTable.open(root)
    none = LEDGER_SCHEMA.empty_table()
    canaries = [part for _, part in table.canaries()]
    return {
        "rows": whole_table(root),
        "ledger": pa.concat_tables([none, *table.store.ledger(table.nodes)]),
        "canaries": pa.concat_tables(canaries or [none], promote_options="default"),
        "decisions": pa.concat_tables(
            Selection.open(root, "default").decisions(number) for number in table.partitions
        ),
    }


def _without(table: pa.Table, gone: set[tuple[int, int]]) -> list[dict[str, Any]]:
    kept = [row for row in table.to_pylist() if (row["partition"], row["row"]) not in gone]
    kept = [row for row in kept if (row["partition"], row.get("text_row", -1)) not in gone]
    return sorted(kept, key=lambda row: (row["partition"], row["row"], repr(row)))


_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=2, deadline=None, phases=_PHASES)
@given(data=st.data())
def test_all_other_rows_stay_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_others_stay(tmp_path_factory.mktemp("run"), data)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, phases=_PHASES)
@given(data=st.data())
def test_all_other_rows_of_many_runs_stay_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_others_stay(tmp_path_factory.mktemp("run"), data)


def check_others_stay(root: Path, data: st.DataObject) -> None:
    """Run with failures, perhaps a retry and an added score; forget some rows, perhaps twice."""
    barrier = data.draw(st.booleans())
    every = [f"file-{f} {row}" for f, rows in ((0, 25), (2, 12)) for row in range(rows)]
    lost = data.draw(st.lists(st.sampled_from(every), unique=True, max_size=9))
    run(plan_of(lost, barrier=barrier), root)
    if data.draw(st.booleans()):
        run(plan_of([], barrier=barrier), root, TIMEOUT)
        lost = []
    if data.draw(st.booleans()):
        stage = StagePlan("scorers", "letters", "b", find("scorers", "letters").config()(name="b"))
        add_scores(root, [stage], LocalEngine, Reporter())
    selector = ThresholdConfig(column="fake_itm", min=0.5)
    select(CommittedTable.open(root), selector.build(), {"a": 1}, name="default")
    before = _contents(root)
    uids = _uids(before)
    gone = set(data.draw(st.lists(st.sampled_from(sorted(uids)), unique=True)))
    for turn in [gone, *([set(sorted(uids)[:2])] if data.draw(st.booleans()) else [])]:
        asked = Asked(uids=frozenset(uids[place] for place in turn))
        if asked:
            for report in forget(root, asked, why="asked to", progress=quiet):
                assert report["proof"]["left"] == {}
        gone |= turn
    after = _contents(root)
    for name in ("rows", "canaries", "decisions"):
        assert _without(after[name], set()) == _without(before[name], gone), name
    mine = [row for row in after["ledger"].to_pylist() if row["reason"] == "forgotten"]
    assert {(row["partition"], row["row"]) for row in mine} == gone
    assert all(row["uid"] is row["url"] is row["texts"] is row["detail"] is None for row in mine)
    others = after["ledger"].filter(pa.compute.not_equal(after["ledger"]["reason"], "forgotten"))
    assert _without(others, set()) == _without(before["ledger"], gone)
    _check_laws(root, plan_of(lost, barrier=barrier), gone)


def _uids(contents: dict[str, pa.Table]) -> dict[tuple[int, int], str]:
    tables = [contents[name].select(["partition", "row", "uid"]) for name in ("rows", "ledger")]
    rows = [row for table in tables for row in table.to_pylist()]
    return {(row["partition"], row["row"]): row["uid"] for row in rows}


def _check_laws(root: Path, plan: Any, gone: set[tuple[int, int]]) -> None:
    """Totals are the sums of the receipts, the run has nothing to do, selections count right."""
    store = RunStore(root)
    for leg in plan.legs:
        totals = Totals()
        for receipt in store.each_receipt(leg.node, store.commits(leg.node)):
            receipt.check("a receipt")
            totals.add(receipt)
        there = Totals.load(store.done_file(leg.node))
        assert there is not None
        sums = {k: v for k, v in totals.to_json().items() if k not in ("bytes_written", "notes")}
        assert sums == {k: there.to_json()[k] for k in sums}
    result = run(plan, root)
    assert result.worked == 0
    assert result.kept == whole_table(root).num_rows
    assert sum(sum(r.values()) for r in result.dropped.values()) + result.kept == 37
    facts = Selection.open(root, "default").facts
    table = CommittedTable.open(root)
    selector = ThresholdConfig(column="fake_itm", min=0.5)
    fresh, done = select(table, selector.build(), {"b": 1}, name="fresh")
    assert done
    counted = ("rows", "texts", "rows_kept", "selected", "rejected")
    assert {name: facts[name] for name in counted} == {n: fresh.facts[n] for n in counted}
    assert table.count_texts() == facts["texts"]


def test_the_same_choice_by_another_name_leaves_the_first_as_it_was(tmp_path: Path) -> None:
    run(plan_of([], barrier=False), tmp_path)
    best = TopFractionConfig(column="fake_itm", fraction=0.5)

    def chosen(name: str) -> tuple[pa.Table, dict[str, int]]:
        made, _ = select(CommittedTable.open(tmp_path), best.build(), {"a": 1}, name=name)
        decisions = [made.decisions(n) for n in CommittedTable.open(tmp_path).partitions]
        return pa.concat_tables(decisions), dict(made.facts["selected"])

    first, _ = chosen("best")
    kept = first.filter(first["rejected"].is_null()).to_pylist()[:6]
    uids = _uids({"rows": whole_table(tmp_path), "ledger": LEDGER_SCHEMA.empty_table()})
    gone = frozenset(uids[row["partition"], row["row"]] for row in kept)
    forget(tmp_path, Asked(uids=gone), why="", progress=quiet)
    before, counted = chosen("best")
    assert chosen("again") == (before, counted)
    assert chosen("best") == (before, counted)
    assert sum(counted.values()) == before["rejected"].null_count


# -- a whole run with everything that is made from it ----------------------------------------------


def _text(number: int) -> str:
    if number == POOR:
        return f"no no no no no Nr{number:03d} no no"
    return f"picture {number} shows the house of family Nr{number:03d} & their dog"


class Town:
    """A run over a list on a site, with a view, an export, a report and an added score."""

    def __init__(self, tmp: Path, site: Site) -> None:
        self.tmp, self.site, self.root = tmp, site, tmp / "run"
        self.images = {n: jpeg(n, width=80 + n, height=80) for n in range(ROWS)}
        self.down = {3}

        def page(number: int) -> Answerer:
            bad = response(b"later", status="503 Service Unavailable")
            return lambda seen: bad if number in self.down else response(self.images[number])

        site.pages = {f"/{n}.jpg": page(n) for n in range(ROWS)}
        self.write_list(ROWS)
        fetch = {"kind": "fetch", "retries": 0, "robots_txt": False, "resolve": site.resolve}
        self.recipe = write_recipe(
            tmp / "r.yaml",
            list_recipe(
                tmp,
                tmp / "lists" / "*.csv",
                stages=[{"kind": "exact"}, fetch, {"kind": "perceptual"}, {"kind": "letters"}],
                select={"kind": "threshold", "column": "letters_itm", "min": 0.0},
                sinks=[{"kind": "lance"}],
                export=[{"kind": "webdataset", "shard_rows": 5}],
            ),
        )

    def url(self, number: int) -> str:
        return self.site.url(f"/{number}.jpg")

    def write_list(self, rows: int, name: str = "a.csv", first: int = 0) -> None:
        (self.tmp / "lists").mkdir(exist_ok=True)
        lines = [f'{self.url(n)},"{_text(n)}"\n' for n in range(first, rows)]
        (self.tmp / "lists" / name).write_text("url,text\n" + "".join(lines))

    def run(self, *more: str) -> dict[str, Any]:
        result = curate("run", self.recipe, "--json", *more)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def all_made(self) -> Town:
        self.run()
        assert curate("add-score", self.root, "--kind", "letters", "--set", "as=b").exit_code == 0
        assert curate("report", self.root).exit_code == 0
        marks = self.root / "marks" / "a.jsonl"
        marks.parent.mkdir()
        rows = whole_table(self.root).to_pylist()
        self.kept = {int(row["url"].split("/")[-1][:-4]): row["image"] for row in rows}
        lines = [{"uid": r["uid"], "text": r["texts"][0], "good": True} for r in rows]
        marks.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self

    def uid(self, number: int) -> str:
        rows = [
            *whole_table(self.root).to_pylist(),
            *package.open_run(self.root).ledger(arrow=True).to_pylist(),
        ]
        return next(row["uid"] for row in rows if row["url"] == self.url(number))

    def found(self, number: int, uid: str) -> list[str]:
        """Return the files in which anything of a row is left, in whatever form."""
        needles = [uid.encode(), self.url(number).encode(), f"Nr{number:03d}".encode()]
        image = self.kept.get(number, self.images[number])
        needles.append(image[len(image) // 2 :][:40])
        left = []
        for path in self.root.rglob("*"):
            if path.is_file() and any(needle in _decoded(path) for needle in needles):
                left.append(str(path.relative_to(self.root)))
        return left


def _decoded(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".parquet":
        return data + repr(pq.read_table(path).to_pylist()).encode() + _images(pq.read_table(path))
    if path.suffix == ".tar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return data + "".join(tar.getnames()).encode()
    return data


def _images(table: pa.Table) -> bytes:
    names = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    return b"".join(value or b"" for name in names for value in table[name].to_pylist())


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with serve() as site:
        yield Town(tmp_path, site).all_made()


def test_nothing_is_left(town: Town) -> None:
    uid, uid3 = town.uid(5), town.uid(3)
    before = whole_table(town.root).to_pylist()
    shards = {
        p.name: p.read_bytes() for p in (town.root / "shards/webdataset-default").glob("*.tar")
    }
    there = town.found(5, uid)
    for place in (
        "passes/0/",
        "passes/1/",
        "added/b",
        "source/",
        "table.lance/",
        "shards/",
        "marks/",
    ):
        assert any(name.startswith(place) for name in there), place
    assert "report.html" in there
    assert len(town.found(3, uid3)) >= 2  # its page was down: it is in the ledger and in the list
    by_url = curate(
        *("forget", town.root, "--uid", uid, "--url", town.url(3), "--why", "a request", "--json")
    )
    assert by_url.exit_code == 0, by_url.output
    (report,) = json.loads(by_url.stdout)["forgotten"]
    assert report["rows"] == 2
    assert report["proof"]["left"] == {}
    assert report["exports"] == ["shards/webdataset-default"]
    assert town.found(5, uid) == town.found(3, uid3) == []
    assert whole_table(town.root).to_pylist() == [row for row in before if row["uid"] != uid]
    rows = lancedb.connect(str(town.root)).open_table("table").to_arrow()
    assert uid not in rows["uid"].to_pylist()
    assert len(rows) == len(before) - 1
    assert curate("validate", town.root / "shards/webdataset-default").exit_code == 0
    manifest = json.loads((town.root / "shards/webdataset-default/manifest.json").read_text())
    assert (manifest["samples"], manifest["left_out"]) == (len(before) - 1, 1)
    after = {
        p.name: p.read_bytes() for p in (town.root / "shards/webdataset-default").glob("*.tar")
    }
    changed = [name for name, data in shards.items() if after[name] != data]
    assert (len(changed), len(after)) == (1, len(shards)) == (1, 3)
    assert town.run()["nothing_to_do"]


def test_nothing_comes_back(town: Town) -> None:
    uid, uid3 = town.uid(5), town.uid(3)
    assert curate("forget", town.root, "--uid", uid, "--url", town.url(3)).exit_code == 0
    assert town.run()["dropped"]["url_list"] == {"forgotten": 2}
    town.down.clear()
    town.site.asked.clear()
    town.run("--retry", "http_5xx")
    town.write_list(ROWS + 1, "b.csv", first=2)  # both again, beside others
    grown = town.run()
    assert grown["dropped"]["url_list"] == {"forgotten": 4}
    # another recipe fetches all again, but for them
    town.run("--set", "stages[1].resize=64")
    assert not {"/5.jpg", "/3.jpg"} & set(town.site.asked)
    assert town.found(5, uid) == town.found(3, uid3) == []
    refused = curate("run", town.recipe, "--retry", "forgotten")
    assert refused.exit_code == 2
    assert "is not taken up again" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds("exporters"))
def test_every_kind_of_export_loses_the_row_and_nothing_else(town: Town, kind: str) -> None:
    cut = ("--set", "uid=uid" if kind == "datacomp_uids" else "shard_rows=4")
    made = curate("export", town.root, "--kind", kind, *cut, "--json")
    assert made.exit_code == 0, made.output
    samples = json.loads(made.stdout)["samples"]
    uid = town.uid(6)
    assert curate("forget", town.root, "--uid", uid).exit_code == 0
    folder = town.root / "shards" / f"{kind}-default"
    assert [name for name in town.found(6, uid) if name.startswith("shards/")] == []
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["samples"] == samples - 1
    for shard in manifest["shards"]:
        data = (folder / shard["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
    again = curate("export", town.root, "--kind", kind, *cut, "--json")
    assert json.loads(again.stdout)["shards"] == manifest["shards"]  # it is there already
    if kind != "mds":  # its loader lives in an environment of its own
        assert curate("validate", folder).exit_code == 0


def test_a_shard_that_would_be_empty_has_the_export_cut_anew(town: Town) -> None:
    cut = ("--kind", "parquet", "--set", "shard_rows=1", "--json")
    assert len(json.loads(curate("export", town.root, *cut).stdout)["shards"]) == 13
    assert curate("forget", town.root, "--url", town.url(6)).exit_code == 0
    manifest = json.loads((town.root / "shards/parquet-default/manifest.json").read_text())
    assert [shard["file"] for shard in manifest["shards"]] == [
        f"{n:05d}.parquet" for n in range(12)
    ]
    assert "left_out" not in manifest


def test_an_export_without_the_row_tells_the_new_counts(town: Town) -> None:
    few = ("--kind", "threshold", "--set", "column=letters_itm", "--set", "min=0.5")
    assert curate("select", town.root, *few, "--name", "rich").exit_code == 0
    cut = ("--kind", "parquet", "--selection", "rich", "--json")
    assert json.loads(curate("export", town.root, *cut).stdout)["samples"] == ROWS - 2
    folder = town.root / "shards/parquet-rich"
    before = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
    assert "below_min" in (folder / "README.md").read_text()
    assert curate("forget", town.root, "--url", town.url(POOR)).exit_code == 0
    assert {path.name: path.read_bytes() for path in folder.glob("*.parquet")} == before
    assert "below_min" not in (folder / "README.md").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "left_out" not in manifest
    assert json.loads(curate("export", town.root, *cut).stdout)["shards"] == manifest["shards"]


def test_folders_of_earlier_recipes_are_searched_too(town: Town) -> None:
    other = ("--set", "stages[1].resize=64", "--set", "stages[1].resize_mode=border")
    town.run(*other)
    pictures = whole_table(town.root)["image"].to_pylist()
    town.run()
    uid = town.uid(5)
    wanted = town.root / "passes/1"
    assert len(list(wanted.glob("leg-0-*"))) == 2
    assert curate("forget", town.root, "--uid", uid).exit_code == 0
    assert town.found(5, uid) == []
    town.site.asked.clear()
    result = town.run(*other)
    assert not town.site.asked  # the other download is still there
    assert result["kept"] == len(pictures) - 1
    assert result["selection"]["texts"] == len(pictures) - 1
    assert whole_table(town.root)["image"].to_pylist() == [
        picture for number, picture in zip(_kept(town), pictures, strict=True) if number != 5
    ]
    assert town.found(5, uid) == []


def _kept(town: Town) -> list[int]:
    return sorted(town.kept)


def test_a_dry_run_changes_nothing(town: Town) -> None:
    before = {path: path.read_bytes() for path in town.root.rglob("*") if path.is_file()}
    said = curate("forget", town.root, "--host", "127.0.0.1", "--dry-run", "--json")
    host = town.url(0).split("/")[2].split(":")[0]
    if host != "127.0.0.1":
        assert json.loads(said.stdout)["rows"] == 0
    said = curate("forget", town.root, "--host", host, "--dry-run", "--json")
    facts = json.loads(said.stdout)
    assert (facts["rows"], facts["view"]) == (ROWS, True)
    assert facts["exports"] == ["shards/webdataset-default"]
    assert {p: p.read_bytes() for p in town.root.rglob("*") if p.is_file()} == before


def test_files_of_uids_and_urls_and_a_whole_host(town: Town, tmp_path: Path) -> None:
    (tmp_path / "uids").write_text(f"{town.uid(1)}\n\n")
    (tmp_path / "urls").write_text(f"{town.url(2)}\n{town.url(4)}\n")
    files = ("--uids", tmp_path / "uids", "--urls", tmp_path / "urls")
    assert curate("forget", town.root, *files).exit_code == 0
    assert whole_table(town.root).num_rows == ROWS - 4
    host = town.url(0).split("/")[2].split(":")[0]
    assert curate("forget", town.root, "--host", host).exit_code == 0
    assert whole_table(town.root).num_rows == 0
    town.write_list(ROWS + 2, "b.csv", first=ROWS)  # addresses that nobody has seen before
    assert town.run()["dropped"] == {"url_list": {"forgotten": ROWS + 2}}


def test_what_it_does_not_know_is_told(town: Town) -> None:
    stray = town.root / "notes" / "mine.txt"
    stray.parent.mkdir()
    stray.write_text(f"look at {town.url(6)}")
    told = curate("forget", town.root, "--url", town.url(6))
    assert told.exit_code == 1
    assert "notes/mine.txt: bytes of a forgotten url" in told.stderr
    stray.unlink()
    assert curate("forget", town.root, "--url", town.url(6)).exit_code == 0
    nothing = curate("forget", town.root)
    assert nothing.exit_code == 2
    assert "name uids, urls or hosts" in nothing.stderr


def test_tombstones_hold_no_content_and_differ_between_runs(town: Town, tmp_path: Path) -> None:
    shutil.copytree(town.root, tmp_path / "other")
    for root in (town.root, tmp_path / "other"):
        assert curate("forget", root, "--url", town.url(7)).exit_code == 0
    left, right = (
        json.loads((root / "forgotten" / "00000001.json").read_text())["hashes"]
        for root in (town.root, tmp_path / "other")
    )
    assert len(left) == len(right) == 3
    assert not set(left) & set(right)


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    pictures = picture_folder(tmp_path / "pictures", [f"the text of no. {n}" for n in range(7)])
    recipe = write_recipe(
        tmp_path / "r.yaml", folder_recipe(tmp_path, export=[{"kind": "parquet"}])
    )
    assert curate("run", recipe).exit_code == 0
    result = curate("forget", tmp_path / "run", "--url", "004.jpg", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["forgotten"][0]["rows"] == 1
    assert "004.jpg" not in whole_table(tmp_path / "run")["path"].to_pylist()
    picture_folder(pictures, [f"the text of no. {n}" for n in range(8)])
    again = json.loads(curate("run", recipe, "--json").stdout)
    assert again["dropped"]["image_folder"] == {"forgotten": 1}
    assert again["rows"] == 8


def test_exports_of_earlier_tables_go_where_they_hold_the_row(town: Town) -> None:
    chosen = ("--kind", "threshold", "--set", "column=letters_itm", "--set", "min=0.0")
    assert curate("select", town.root, *chosen, "--name", "old").exit_code == 0
    cut = ("--kind", "parquet", "--selection", "old")
    assert curate("export", town.root, *cut).exit_code == 0
    town.write_list(ROWS + 2, "b.csv", first=ROWS)
    town.run()  # the selection is of an earlier table now
    stays = json.loads(curate("forget", town.root, "--url", town.url(ROWS), "--json").stdout)
    assert stays["forgotten"][0]["removed"] == []
    uid = town.uid(5)
    told = curate("forget", town.root, "--uid", uid, "--json")
    assert town.found(5, uid) == []
    assert told.exit_code == 0
    assert json.loads(told.stdout)["forgotten"][0]["removed"] == ["shards/parquet-old"]


def test_what_others_left_in_the_folder_stops_nothing(town: Town) -> None:
    marks = town.root / "marks" / "a.jsonl"
    marks.write_bytes(marks.read_bytes() + b'{"uid": ')
    (town.root / "marks" / "notes").mkdir()
    (town.root / "mine.parquet").write_text("no table")
    for folder in ("passes", "passes/0", "added", "source"):
        (town.root / folder / ".DS_Store").write_bytes(b"x")
    uid = town.uid(5)
    told = curate("forget", town.root, "--uid", uid)
    assert told.exit_code == 1, told.output
    assert "mine.parquet: no table that can be read" in told.stderr
    (town.root / "mine.parquet").unlink()
    assert town.found(5, uid) == []
    assert curate("forget", town.root, "--uid", uid).exit_code == 0


def test_errors_of_partitions_set_aside_quote_no_row(town: Town) -> None:
    note = next((town.root / "passes/1").glob("leg-0-*")) / "quarantine/000000/part-00000000.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"error": "bad", "traceback": f"at {_text(5)!r}", "attempts": 3}))
    assert curate("forget", town.root, "--url", town.url(5)).exit_code == 0
    assert json.loads(note.read_text())["attempts"] == 3
    assert "Nr005" not in note.read_text()


@pytest.mark.parametrize("host", ["example.org:8080", "https://example.org", "example.org/a", ""])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    told = curate("forget", tmp_path, "--host", host)
    assert told.exit_code == 2
    assert "is no host" in told.stderr


def test_a_selection_of_an_earlier_recipe_is_decided_again(town: Town) -> None:
    strict = ("--kind", "threshold", "--set", "column=letters_itm", "--set", "min=0.0")
    select = ("select", town.root, *strict, "--name", "strict", "--json")
    before = json.loads(curate(*select).stdout)
    town.run("--set", "stages[1].resize=64")
    assert curate("forget", town.root, "--url", town.url(5)).exit_code == 0
    town.run()  # the table of the selection again, but for the row
    with pytest.raises(StoreError, match="decided on an earlier table"):
        package.open_run(town.root).texts(selection="strict")
    after = json.loads(curate(*select).stdout)
    assert (after["texts"], after["rows"]) == (before["texts"] - 1, before["rows"] - 1)
    assert "strict-1" not in package.open_run(town.root).selections


# -- kills -----------------------------------------------------------------------------------------

PLACES = [
    *("forget.intended", "forget.buried", "forget.away", "forget.step", "forget.step:3"),
    *("forget.commit", "forget.commit:2", "forget.selected", "forget.viewed"),
    *("file.written@shards", "export.left", "export.shards", "forget.exported", "forget.proved"),
]


def _dies(place: str, *arguments: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, place)
        process = curate_process(*arguments)
    out, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, f"{place}: {out + said}"


def test_every_place_of_a_forgetting_is_tried() -> None:
    tried = {place.partition(":")[0] for place in PLACES}
    assert {name for name in POINTS if name.startswith("forget.")} - tried == {"forget.done"}


@pytest.mark.slow
def test_killed_once_it_is_done_nothing_is_left_to_finish(town: Town) -> None:
    uid = town.uid(5)
    _dies("forget.done", "forget", town.root, "--uid", uid)
    assert uid not in whole_table(town.root)["uid"].to_pylist()
    assert json.loads((town.root / "forgotten/proof-00000001.json").read_text())["rows"] == 1
    assert curate("forget", town.root).exit_code == 2  # nothing to finish
    assert town.found(5, uid) == []
    assert town.run()["nothing_to_do"]


@pytest.mark.slow
def test_a_host_is_forgotten_in_lists_that_nobody_has_read_yet(town: Town) -> None:
    town.write_list(ROWS + 2, "b.csv", first=ROWS)
    _dies("register.written", "run", town.recipe)
    copies = {path: _decoded(path) for path in (town.root / "source").glob("*.parquet")}
    assert any(town.url(ROWS).encode() in data for data in copies.values())
    host = town.url(0).split("/")[2].split(":")[0]
    assert curate("forget", town.root, "--host", host).exit_code == 0
    assert not any(host.encode() in _decoded(path) for path in copies)
    assert town.run()["dropped"] == {"url_list": {"forgotten": ROWS + 2}}


@pytest.mark.slow
def test_killed_anywhere_the_same_command_finishes_it(town: Town, tmp_path: Path) -> None:
    uid = town.uid(5)
    shutil.copytree(town.root, tmp_path / "quiet")
    command = ("--uid", uid, "--url", town.url(3))
    assert curate("forget", tmp_path / "quiet", *command).exit_code == 0
    for place in PLACES:
        _dies(place, "forget", town.root, *command)
        with pytest.raises(StoreError, match=r"'curate forget .*' finishes it"):
            package.open_run(town.root)
    assert curate("run", town.recipe).exit_code == 2
    assert curate("forget", town.root).exit_code == 0
    assert town.found(5, uid) == []
    assert whole_table(town.root).equals(whole_table(tmp_path / "quiet"))
    for name in ("shards/webdataset-default", "passes", "decisions", "selections"):
        left, right = (
            {
                str(path.relative_to(root)): path.read_bytes()
                for path in (root / name).rglob("*")
                if path.is_file()
            }
            for root in (town.root, tmp_path / "quiet")
        )
        assert left == right
    assert town.run()["nothing_to_do"]
