"""Bad input, given to the ordinary commands: a clear error or a ledger row, and nothing lost."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate as package
from tests.models.checkpoints import tiny_blip_captioner, tiny_med
from tests.recipes import (
    curate,
    folder_recipe,
    installed_plugin,
    list_recipe,
    picture_folder,
    read_only,
    small_disk,
    whole_table,
    write_recipe,
)

GOOD = "url,text\nhttp://x.test/1,a red dog\nhttp://x.test/2,two birds\n"


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def refused(*arguments: str | Path) -> str:
    """Return what a command says that refuses its input; it must say it in one message."""
    result = curate(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.output
    return result.stderr


def listed(tmp: Path, name: str, body: bytes | str) -> Path:
    """Write a list and a recipe that reads it; returns the recipe."""
    path = tmp / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return write_recipe(tmp / "r.yaml", list_recipe(tmp, path))


def ledger(root: Path) -> list[tuple[int, int, str]]:
    entries = package.open_run(root).ledger().sort_values(["partition", "row"])
    return list(entries[["partition", "row", "reason"]].itertuples(index=False, name=None))


# -- lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.parquet", b"PAR1 this is no parquet", r"a.parquet"),
        ("a.parquet", b"", r"a.parquet"),
        ("a.csv.gz", b"no gzip at all", r"a.csv.gz"),
        ("a.arrow", b"no arrow at all", r"a.arrow"),
        ("a.csv", b"", r"a.csv"),
        ("a.xls", b"x", r".parquet"),
        ("a.csv", "link,text\nx,y\n", "url"),
        ("a.csv", "url,caption\nx,y\n", "text"),
        ("a.csv", "URL,text\nx,y\n", "did you mean 'URL'?"),
    ],
)
def test_a_list_that_cannot_be_read_is_said_once_with_its_line(
    tmp_path: Path, command: str, name: str, body: bytes | str, said: str
) -> None:
    message = refused(command, listed(tmp_path, name, body))
    assert "1 problem, nothing was run\n  line 2: source: " in message
    assert said in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_list_that_is_not_there(tmp_path: Path, command: str) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", list_recipe(tmp_path, tmp_path / "no*.parquet"))
    message = refused(command, recipe)
    assert "line 2: source: " in message
    assert "no*.parquet" in message


def test_a_second_file_that_cannot_be_read_stops_the_run_and_the_first_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.csv").write_text(GOOD)
    (tmp_path / "lists" / "b.csv").write_text("nothing,here\n1,2\n")
    path = write_recipe(tmp_path / "r.yaml", list_recipe(tmp_path, tmp_path / "lists" / "*.csv"))
    assert "b.csv" in refused("run", path)
    committed = list((tmp_path / "run").rglob("commits/**/*.json"))
    assert len(committed) == 1
    (tmp_path / "lists" / "b.csv").write_text(GOOD)
    assert curate("run", path).exit_code == 0
    assert whole_table(tmp_path / "run").num_rows == 4
    assert committed[0].stat().st_mtime_ns < (tmp_path / "run" / "result.json").stat().st_mtime_ns


def test_null_and_empty_urls_stop_and_null_and_empty_texts_go_on(tmp_path: Path) -> None:
    rows = {
        "url": ["http://x.test/0", None, "", "   ", "http://x.test/4", "http://x.test/5"],
        "text": ["a red dog", "two birds", "a cat", "a hat", None, ""],
    }
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    path = write_recipe(tmp_path / "r.yaml", list_recipe(tmp_path, tmp_path / "a.parquet"))
    assert curate("run", path).exit_code == 0
    assert ledger(tmp_path / "run") == [(0, 1, "no_url"), (0, 2, "no_url"), (0, 3, "no_url")]
    table = whole_table(tmp_path / "run")
    assert table["texts"].to_pylist() == [["a red dog"], [], []]
    assert table.num_rows + len(ledger(tmp_path / "run")) == 6


def test_bytes_that_are_no_utf8_stop_their_row_alone(tmp_path: Path) -> None:
    body = b"url,text\nhttp://x.test/0,a red dog\nhttp://x.test/1,caf\xe9 au lait\n"
    path = listed(tmp_path, "a.csv", body + b"http://x.test/2,caf\xc3\xa9 au lait\n")
    assert curate("run", path).exit_code == 0
    assert ledger(tmp_path / "run") == [(0, 1, "not_utf8")]
    assert whole_table(tmp_path / "run")["texts"].to_pylist() == [["a red dog"], ["café au lait"]]


def test_a_line_that_is_no_row_stops_alone(tmp_path: Path) -> None:
    lines = ['{"url": "http://x.test/0", "text": "a red dog"}', "{broken", "[1]", "null"]
    path = listed(tmp_path, "a.jsonl", "\n".join(lines) + "\n")
    assert curate("run", path).exit_code == 0
    assert [reason for _, _, reason in ledger(tmp_path / "run")] == ["unreadable_row"] * 3
    assert whole_table(tmp_path / "run").num_rows == 1


def test_a_picture_that_is_none_and_a_text_file_that_is_no_text(tmp_path: Path) -> None:
    pictures = picture_folder(tmp_path / "pictures")
    (pictures / "001.jpg").write_bytes(b"not a picture")
    (pictures / "003.jpg").write_bytes(b"")
    (pictures / "000.txt").write_bytes(b"caf\xe9 \xff")
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path))
    said = json.loads(curate("run", path, "--json").stdout)
    assert said["dropped"] == {
        "image_folder": {"not_utf8": 1},
        "load": {"empty_body": 1, "not_an_image": 1},
        "resolution": {"too_small": 1},
    }
    assert said["kept"] == 3


def test_a_list_that_changed_under_a_run(tmp_path: Path) -> None:
    path = listed(tmp_path, "a.csv", GOOD)
    assert curate("run", path).exit_code == 0
    before = whole_table(tmp_path / "run")
    (tmp_path / "a.csv").write_text(GOOD + "http://x.test/3,three cats\n")
    assert "'a.csv' changed since this run began" in refused("run", path)
    assert whole_table(tmp_path / "run").equals(before)


# -- checkpoints --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def med(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("models") / "med")


@pytest.fixture(scope="module")
def blip_captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip_captioner(tmp_path_factory.mktemp("models") / "blip")


def modelled(tmp: Path, stage: dict[str, Any]) -> Path:
    picture_folder(tmp / "pictures")
    recipe = folder_recipe(tmp, select=None)
    recipe["stages"][3] = stage
    return write_recipe(tmp / "r.yaml", recipe)


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("weights", "has no weights"),
        ("config.json", "config.json"),
        ("everything", "there is no checkpoint folder"),
    ],
)
def test_a_checkpoint_folder_that_lacks_something(
    tmp_path: Path, med: Path, command: str, damage: str, said: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in med.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if damage == "weights":
        (folder / "model.safetensors").unlink()
    elif damage == "config.json":
        (folder / "config.json").write_text("{")
    else:
        folder = tmp_path / "nowhere"
    path = modelled(tmp_path, {"kind": "scorers/med", "model": str(folder)})
    message = refused(command, path)
    assert "stages[3]: " in message
    assert said in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_checkpoint_of_another_family(tmp_path: Path, med: Path, command: str) -> None:
    message = refused(command, modelled(tmp_path, {"kind": "scorers/blip", "model": str(med)}))
    assert "stages[3]: " in message
    assert "the scorer 'med'" in message  # who would take it
    assert not (tmp_path / "run").exists()


def test_a_captioners_checkpoint_given_to_a_scorer_stops_the_run_and_keeps_the_pictures(
    tmp_path: Path, blip_captioner: Path
) -> None:
    path = modelled(tmp_path, {"kind": "scorers/blip", "model": str(blip_captioner)})
    message = refused("run", path)
    assert "a captioner needs a checkpoint that was trained to caption" in message
    done = list((tmp_path / "run").glob("passes/0/leg-0-*/commits/*/*.json"))
    assert len(done) >= 1  # what came before is committed and is not done again


# -- output folders -----------------------------------------------------------------------------


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_folder_of_another_recipe(tmp_path: Path) -> None:
    assert curate("run", listed(tmp_path, "a.csv", GOOD)).exit_code == 0
    before = tree(tmp_path / "run")
    other = write_recipe(
        tmp_path / "o.yaml", list_recipe(tmp_path, tmp_path / "a.csv", name="other")
    )
    message = refused("run", other)
    assert "holds the run 'listed', made from another name" in message
    assert "another 'output'" in message
    assert tree(tmp_path / "run") == before


def test_a_folder_of_another_list(tmp_path: Path) -> None:
    path = listed(tmp_path, "a.csv", GOOD)
    assert curate("run", path).exit_code == 0
    before = tree(tmp_path / "run")
    (tmp_path / "b.csv").write_text(GOOD)
    other = write_recipe(tmp_path / "o.yaml", list_recipe(tmp_path, tmp_path / "b.csv"))
    assert "not in its source any more (first: 'a.csv')" in refused("run", other)
    after = tree(tmp_path / "run")
    assert {k: after[k] for k in before if k.startswith("passes")} == {
        k: v for k, v in before.items() if k.startswith("passes")
    }
    assert curate("run", path).exit_code == 0


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    message = refused("run", listed(tmp_path, "a.csv", GOOD))
    assert "is not empty and holds no run (it has 'thesis.tex')" in message
    assert tree(tmp_path / "run") == {"thesis.tex": b"years of work"}


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    assert "run is a file: give a folder as 'output'" in refused(
        "run", listed(tmp_path, "a.csv", GOOD)
    )
    assert (tmp_path / "run").read_text() == "a file"


def test_a_file_in_the_way_above_the_folder(tmp_path: Path) -> None:
    path = listed(tmp_path, "a.csv", GOOD)
    message = refused("run", path, "--output", tmp_path / "a.csv" / "run")
    assert "a.csv" in message
    assert (tmp_path / "a.csv").read_text() == GOOD


@pytest.mark.parametrize(
    "damage", ["", "{", "{}", '{"nodes": []}', "[]", b"\xff\xfe\x00".decode("latin-1")]
)
@pytest.mark.parametrize("command", ["run", "status"])
def test_a_damaged_plan(tmp_path: Path, damage: str, command: str) -> None:
    path = listed(tmp_path, "a.csv", GOOD)
    assert curate("run", path).exit_code == 0
    (tmp_path / "run" / "plan.json").write_text(damage)
    before = tree(tmp_path / "run")
    message = refused(command, path if command == "run" else tmp_path / "run")
    assert "plan.json is damaged" in message
    assert tree(tmp_path / "run") == before


@pytest.mark.parametrize("name", ["part-00000000.json", "000000.jsonl"])
def test_a_damaged_file_of_a_run_is_named(tmp_path: Path, name: str) -> None:
    path = listed(tmp_path, "a.csv", GOOD)
    assert curate("run", path).exit_code == 0
    (found,) = (tmp_path / "run").rglob(name)
    found.write_text("{}\n")
    message = refused("run", path)
    assert name in message
    assert "damaged" in message


def test_damaged_totals_are_made_again(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"].insert(2, {"kind": "perceptual"})
    path = write_recipe(tmp_path / "r.yaml", recipe)
    assert curate("run", path).exit_code == 0
    totals = {done: done.read_bytes() for done in (tmp_path / "run").rglob("done.json")}
    assert len(totals) == 3
    for done in totals:
        done.write_text("{}")
    assert curate("status", tmp_path / "run").exit_code == 0
    said = json.loads(curate("run", path, "--json").stdout)
    assert said["nothing_to_do"]
    assert {done: done.read_bytes() for done in totals} == totals


# -- disks --------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures", [f"a red dog and {n} birds" for n in range(60)])
    recipe = folder_recipe(tmp_path, output=str(tmp_path / "disk" / "run"))
    path = write_recipe(tmp_path / "r.yaml", recipe)
    with small_disk(tmp_path / "disk", 256) as disk:
        message = refused("run", path)
        assert "no room left to write" in message
        assert "run the same command again" in message
        parts = list((disk / "run").rglob("commits/**/*.json"))
        assert 0 < len(parts) < 40
        assert not list((disk / "run").rglob("*.tmp"))
        (disk / "run").rename(disk / "kept")  # on the same disk, so nothing is copied
        (tmp_path / "room").mkdir()
        shutil.copytree(disk / "kept", tmp_path / "room" / "run")
    committed = {one.name for one in (tmp_path / "room").rglob("commits/**/*.json")}
    assert committed
    result = curate("run", path, "--output", tmp_path / "room" / "run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["kept"] == 59
    undisturbed = tmp_path / "undisturbed"
    assert curate("run", path, "--output", undisturbed).exit_code == 0
    assert whole_table(tmp_path / "room" / "run").equals(whole_table(undisturbed))


def _fill(path: Path, *, but_kib: int) -> None:
    """Fill a disk to its end, then make so much room again."""
    with path.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass
        file.truncate(max(0, file.tell() - but_kib * 1024))


@pytest.mark.parametrize("what", ["sinks", "export"])
def test_a_full_disk_after_the_passes(tmp_path: Path, what: str) -> None:
    picture_folder(tmp_path / "pictures", [f"a red dog and {n} birds" for n in range(40)])
    recipe = folder_recipe(tmp_path, output=str(tmp_path / "disk" / "run"))
    recipe["select"]["threshold"] = 0.1
    path = write_recipe(tmp_path / "r.yaml", recipe)
    kind = {"sinks": "lance", "export": "webdataset"}[what]
    longer = {**recipe, what: [{"kind": kind}]}
    with small_disk(tmp_path / "disk", 4000) as disk:
        assert curate("run", path).exit_code == 0
        _fill(disk / "filler", but_kib=60)
        message = refused("run", write_recipe(path, longer))
        assert "no room left" in message
        (disk / "filler").unlink()
        result = curate("run", path, "--json")
        assert result.exit_code == 0
        said = json.loads(result.stdout)
        assert (said["sinks"] or said["exports"])[kind]


def test_no_permission_to_make_the_folder(tmp_path: Path) -> None:
    # a read-only bind mount: permission bits do not bind root
    path = listed(tmp_path, "a.csv", GOOD)
    with read_only(tmp_path / "locked") as folder:
        message = refused("run", path, "--output", folder / "run")
        assert "not allowed to write" in message
        assert "give another output folder or mend its permissions" in message


def test_no_permission_to_go_on_with_a_run(tmp_path: Path) -> None:
    path = listed(tmp_path, "a.csv", GOOD)
    assert curate("run", path).exit_code == 0
    with read_only(tmp_path / "run") as folder:
        assert "not allowed to write" in refused("run", path)
        assert curate("status", folder).exit_code == 0  # looking is allowed
        assert package.open_run(folder).rows().shape[0] == 2
        options = ("--kind", "threshold", "--name", "x", "--set", "column=none", "--set", "min=0")
        assert "reads the scores 'none'" in refused("select", folder, *options)
    assert curate("run", path).exit_code == 0


def test_a_disk_that_fills_while_a_list_is_copied(tmp_path: Path) -> None:
    rows = "".join(f"http://x.test/{n * 7919 % 10_007},a red dog {n}\n" for n in range(20_000))
    path = listed(tmp_path, "a.csv", "url,text\n" + rows)
    with small_disk(tmp_path / "disk", 100) as disk:
        assert "no room left to write" in refused("run", path, "--output", disk / "run")
        assert not list((disk / "run").rglob("*.tmp"))


def test_a_disk_that_fills_while_duplicates_are_looked_for(tmp_path: Path) -> None:
    rows = [f"http://x.test/{n * 7919 % 10_007},a red dog {n}\n" for n in range(20_000)]
    (tmp_path / "a.csv").write_text("url,text\n" + "".join(rows))
    source = {"kind": "url_list", "path": str(tmp_path / "a.csv"), "partition_rows": 100_000}
    recipe = list_recipe(tmp_path, tmp_path / "a.csv", source=source)
    recipe["stages"].append({"kind": "exact"})
    path = write_recipe(tmp_path / "r.yaml", recipe)
    with small_disk(tmp_path / "disk", 20_000) as disk:
        assert curate("run", path, "--output", disk / "run", "--set", "stages=[]").exit_code == 0
        _fill(disk / "filler", but_kib=1100)
        said = refused("run", path, "--output", disk / "run")
        assert "no room left to write" in said
