"""The command line: every command, in words and as JSON, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.text import Text

import curate as package
from curate import recipe as recipes
from curate.cli import main
from curate.core.lease import owned, owner_of
from curate.run import run as run_recipe
from curate.summary import print_funnel
from curate.terminal import Terminal
from tests.pretrain.scenes import recipe as pretrain_recipe
from tests.pretrain.scenes import scene
from tests.recipes import (
    TEXTS,
    curate,
    folder_recipe,
    installed_plugin,
    picture_folder,
    write_recipe,
)

COMMANDS = (
    *("run", "plan", "status", "select", "export", "pretrain", "evaluate", "bootstrap", "list"),
)


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe ``r.yaml`` and its finished run; tests that write copy it."""
    tmp = tmp_path_factory.mktemp("cli")
    picture_folder(tmp / "pictures")
    path = write_recipe(tmp / "r.yaml", folder_recipe(tmp, export=[{"kind": "webdataset"}]))
    result = curate("run", path)
    assert result.exit_code == 0, result.output
    return tmp


def json_of(*arguments: str | Path) -> Any:
    """Return what a command prints as JSON; everything else belongs on standard error."""
    result = curate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# -- help, version, list ------------------------------------------------------------------------


def test_help_names_every_command() -> None:
    said = curate("--help").stdout
    assert [name for name in COMMANDS if f"\n  {name} " not in said] == []
    assert "curate run pipelines/quickstart.yaml" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command: str) -> None:
    result = curate(command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()[2].split()) > 4
    assert "--json" in result.stdout


def test_help_answers_in_under_half_a_second() -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "curate.cli", "--help"], check=True, capture_output=True
        )
        after = os.times()
        spent.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    # processor time of the process, so that a busy machine does not fail the test
    assert min(spent) < 0.5, statistics.mean(spent)


def test_version() -> None:
    assert package.__version__ in curate("--version").stdout


def test_list_names_a_family_with_its_summaries() -> None:
    said = curate("list", "captioners").stdout.splitlines()
    assert said[0] == "captioners"
    assert {line.split()[0] for line in said[1:]} >= {"blip", "med"}
    assert all(line.strip().endswith(".") for line in said[1:])


def test_list_without_a_family_names_them_all() -> None:
    said = json_of("list")
    assert {"sources", "captioners", "scorers", "selectors", "sinks", "exporters"} <= set(said)
    assert all(summary for kinds in said.values() for summary in kinds.values())
    assert said["scorers"]["letters"].startswith("Score a text by how many")


def test_list_of_an_unknown_family() -> None:
    result = curate("list", "captionrs")
    assert result.exit_code == 2
    assert result.stderr == "error: there is no family 'captionrs': did you mean 'captioners'?\n"


# -- plan ---------------------------------------------------------------------------------------

_NEITHER = (
    "import sys\n"
    "from curate.cli import main\n"
    "main(sys.argv[1:], standalone_mode=False)\n"
    "heavy = {'torch', 'ray', 'transformers', 'lancedb', 'img2dataset', 'pandas'}\n"
    "print('IMPORTED', sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
)


def test_plan_imports_neither_torch_nor_ray(tmp_path: Path) -> None:
    rows = pa.table({"URL": ["http://x.test/a"], "TEXT": ["a"]})
    pq.write_table(rows, tmp_path / "list.parquet")
    arguments = ["--set", f"source.path={tmp_path / 'list.parquet'}", "--output", str(tmp_path)]
    said = subprocess.run(
        [sys.executable, "-c", _NEITHER, "plan", "pipelines/laion_subset.yaml", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert "pass 2" in said.stdout
    assert said.stderr.splitlines()[-1] == "IMPORTED []"


def test_plan_shows_what_is_to_be_done_and_what_is_done(made: Path) -> None:
    said = json_of("plan", made / "r.yaml")
    (one,) = said["passes"]
    assert [leg["stages"] for leg in one["legs"]] == [
        ["image_folder", "load", "resolution"],
        ["text_length", "letters"],
    ]
    assert [leg["partitions_done"] for leg in one["legs"]] == [3, 3]
    assert (said["partitions_known"], said["rows_known"]) == (3, len(TEXTS))
    assert one["legs"][1]["resources"] == "1 CPU"
    assert "letters_itm" in {column["name"] for column in said["columns"]}
    text = curate("plan", made / "r.yaml").stdout
    assert "3 of 3" in text
    assert "select   capfilt" in text
    changed = json_of("plan", made / "r.yaml", "--set", "stages[3].power=2")
    assert [leg["partitions_done"] for leg in changed["passes"][0]["legs"]] == [3, 0]


def test_plan_writes_nothing(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path))
    assert "not read yet" in curate("plan", path).stdout
    assert not (tmp_path / "run").exists()


def test_plan_shows_a_barrier(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"].insert(2, {"kind": "perceptual"})
    path = write_recipe(tmp_path / "r.yaml", recipe)
    assert json_of("plan", path)["passes"][0]["barrier"]["stage"] == "perceptual"
    assert "barrier perceptual: reads" in curate("plan", path).stdout


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_bad_recipe_is_told_whole_and_exits_with_2(tmp_path: Path, command: str) -> None:
    path = write_recipe(tmp_path / "r.yaml", "name: x\nsource: {kind: url_lst}\nfoo: 1\n")
    result = curate(command, path)
    assert result.exit_code == 2
    assert "2 problems, nothing was run" in result.stderr
    assert "line 2: source.kind: there is no kind 'url_lst'" in result.stderr
    assert result.stdout == ""


# -- run and status -----------------------------------------------------------------------------


def test_run_prints_the_funnel_and_both_laws(made: Path) -> None:
    result = curate("run", made / "r.yaml")
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "nothing to do: everything was there already" in said
    assert "resolution: too_small -1 14.3%" in said
    assert "rows: 7 in = 6 in the table + 1 in the ledger" in said
    assert "texts: 5 in the table = 3 selected + 2 rejected (selection 'default')" in said
    assert "web: too_few_words -1 20.0%" in said
    assert "webdataset: 3 samples in 1 shard(s)" in said
    assert f"curate status {made / 'run'}" in said


def test_run_as_json(made: Path) -> None:
    said = json_of("run", made / "r.yaml")
    assert (said["rows"], said["kept"], said["nothing_to_do"]) == (7, 6, True)
    assert said["dropped"] == {"resolution": {"too_small": 1}}
    assert said["selection"]["selected"] == {"web": 3}
    assert said["quarantined"] == {}


def test_run_tells_of_progress_where_no_terminal_is(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    path = write_recipe(tmp_path / "r.yaml", folder_recipe(tmp_path))
    result = curate("run", path, "--json")
    assert "working in this process" in result.stderr
    assert "image_folder+load+resolution: 3 of 3 partitions, 7 rows" in result.stderr
    assert json.loads(result.stdout)["nothing_to_do"] is False


def test_overrides_and_another_output(made: Path, tmp_path: Path) -> None:
    arguments = ("--output", tmp_path / "other", "--set", "stages[1].min_side=10")
    said = json_of("run", made / "r.yaml", *arguments)
    assert (said["output"], said["kept"]) == (str(tmp_path / "other"), 7)


def test_a_partition_set_aside_exits_with_3_and_can_be_taken_up_again(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"][3]["power"] = -1000.0
    path = write_recipe(tmp_path / "r.yaml", recipe)
    result = curate("run", path)
    assert result.exit_code == 3
    said = " ".join(result.stdout.split())
    assert "set aside partition 0 (" in said
    assert "2 partition(s) set aside (0, 1)" in said
    assert "--retry quarantined" in said
    facts = json_of("status", tmp_path / "run")
    assert [one["partition"] for one in facts["quarantined"]] == [0, 1]
    assert "OverflowError" in facts["quarantined"][0]["error"]
    assert "OverflowError" in curate("status", tmp_path / "run").stdout
    assert curate("run", path, "--retry", "quarantined").exit_code == 3


def test_run_shows_bars_with_rates_on_a_terminal(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"].insert(2, {"kind": "perceptual"})
    recipe["stages"][-1]["as"] = "[/red]"
    recipe["select"]["itm"] = "[/red]_itm"
    path = write_recipe(tmp_path / "r.yaml", recipe)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=150, markup=False)
    with Terminal(console) as terminal:
        result = run_recipe(recipes.load(path), terminal)
        print_funnel(console, result)
    shown = Text.from_ansi(screen.getvalue()).plain
    assert "image_folder+load+resolution" in shown
    assert "text_length+[/red]" in shown
    assert "3/3" in shown
    assert "rows/s" in shown
    assert "perceptual dropped 0 rows" in shown
    assert "rows:  7 in = 6 in the table + 1 in the ledger" in shown


@pytest.mark.parametrize("name", ["[bold]", "[/bold]", "[link=x]"])
def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"{name}x"
    picture_folder(folder / "pictures")
    recipe = folder_recipe(folder)
    recipe["stages"][3]["power"] = -1000.0
    recipe["stages"].insert(1, {"kind": "letters", "as": "[/red]"})
    path = write_recipe(folder / "r.yaml", recipe)
    for command in (("plan", path), ("run", path), ("status", folder / "run"), ("run", path)):
        result = curate(*command)
        assert result.exit_code in (0, 3), result.output
        assert str(folder / "run") in result.output.replace("\n", "")
        assert "[/red]" in result.output or command[0] == "run"


def test_status(made: Path) -> None:
    facts = json_of("status", made / "run")
    assert (facts["name"], facts["rows"], facts["partitions"]) == ("small", 7, 3)
    assert facts["owner"] is None
    assert [(step["step"], step["complete"], step["rows_out"]) for step in facts["steps"]] == [
        ("image_folder+load+resolution", True, 6),
        ("text_length+letters", True, 6),
    ]
    assert facts["selections"]["default"] == {"texts": 5, "selected": 3}
    text = curate("status", made / "run").stdout
    assert "small" in text
    assert "selection 'default': 3 of 5 texts" in text


def test_status_while_a_run_goes_on(made: Path) -> None:
    with owned(made / "run"):
        assert json_of("status", made / "run")["owner"]["pid"] == os.getpid()
        assert f"running as process {os.getpid()}" in curate("status", made / "run").stdout


def test_status_of_a_folder_without_a_run(tmp_path: Path) -> None:
    result = curate("status", tmp_path)
    assert result.exit_code == 2
    assert "holds no run (no plan.json)" in result.stderr


# -- select and export --------------------------------------------------------------------------


def test_select_decides_again_from_stored_scores(made: Path) -> None:
    options = ("--set", "itm=letters_itm", "--set", "threshold=0.9")
    arguments = ("select", made / "run", "--kind", "capfilt", "--name", "strict", *options)
    said = json_of(*arguments)
    assert (said["name"], said["selected"]) == ("strict", {"web": 1})
    text = " ".join(curate(*arguments).stdout.split())
    assert "selection strict" in text
    assert "threshold: 0.9" in text
    assert "strict" in package.open_run(made / "run").selections


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "capflt", "--name", "a"], "did you mean 'capfilt'?"),
        (["--kind", "capfilt", "--name", "a"], "'itm' is missing"),
        (["--kind", "capfilt", "--name", "a", "--set", "itm=leters_itm"], "'letters_itm'?"),
        (["--kind", "capfilt", "--name", "a", "--set", "oops"], "not of the form key=value"),
        (
            ["--kind", "capfilt", "--name", "../a", "--set", "itm=letters_itm"],
            "'../a' is no name for a selection",
        ),
    ],
)
def test_a_selection_that_cannot_be_made(made: Path, options: list[str], said: str) -> None:
    result = curate("select", made / "run", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "a" not in package.open_run(made / "run").selections


def test_export(made: Path) -> None:
    arguments = ("export", made / "run", "--set", "per=image", "--set", "shard_rows=2")
    said = json_of(*arguments)
    assert (said["samples"], len(said["shards"])) == (3, 2)
    assert f"3 samples in 2 shard(s): {said['output']}" in curate(*arguments).stdout
    assert len(list(Path(said["output"]).glob("*.tar"))) == 2


def test_export_of_an_unknown_selection(made: Path) -> None:
    result = curate("export", made / "run", "--selection", "defalt")
    assert result.exit_code == 2
    assert "no selection 'defalt'" in result.stderr
    assert "did you mean 'default'?" in result.stderr


# -- pretrain and evaluate ----------------------------------------------------------------------


def test_pretrain_on_a_run_and_evaluate_what_it_wrote(made: Path, tmp_path: Path) -> None:
    settings = pretrain_recipe(batch_size=3).model_dump(mode="json", by_alias=True)
    path = write_recipe(tmp_path / "p.yaml", settings)
    output = tmp_path / "model"
    arguments = ("pretrain", path, "--output", output, "--run", made / "run", "--set", "epochs=2")
    trained = json_of(*arguments)
    assert (Path(trained["model"]) / "model.safetensors").exists()
    assert trained["steps"] == 2
    table = {
        "image": [scene("red", "circle", seed=1), scene("blue", "bar", seed=2)],
        "captions": [["a red circle"], ["a blue bar"]],
    }
    pq.write_table(pa.table(table), tmp_path / "held.parquet")
    evaluation = ("evaluate", Path(trained["model"]), str(tmp_path / "held.parquet"))
    found = json_of(*evaluation, "--output", tmp_path / "figures.json")
    assert found["retrieval"]["num_images"] == 2
    assert 0 <= found["matching"]["itm_auc"] <= 1
    assert json.loads((tmp_path / "figures.json").read_text()) == found
    low, high = found["retrieval"]["intervals"]["t2i@1"]
    assert 0 <= low <= found["retrieval"]["t2i"]["1"] <= high <= 1
    told = curate(*evaluation[:2], held_as_karpathy(tmp_path), "--images", tmp_path, "--split",
                  "test", "--evaluator", "zero_shot", "--evaluator", "retrieval", "--template",
                  "a {}", "--set", "resamplings=0")  # fmt: skip
    assert told.exit_code == 0, told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["zero-shot", "i2t", "t2i"]
    assert "2 classes, 1 prompt(s)" in told.stdout
    again = curate("pretrain", path, "--output", output, "--run", made / "run")
    assert again.exit_code == 2
    assert str(output) in again.stderr


def held_as_karpathy(folder: Path) -> Path:
    """Write two pictures and the annotations of them as Karpathy has them."""
    images = []
    for colour in ("red", "blue"):
        (folder / f"{colour}.png").write_bytes(scene(colour, "circle", seed=3))
        sentences = [{"raw": f"{colour} circle"}]
        images.append({"filename": f"{colour}.png", "split": "test", "sentences": sentences})
    path = folder / "dataset_flickr30k.json"
    path.write_text(json.dumps({"images": images}))
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["MADE/no_model", "MADE/no.parquet"], "no_model"),
        (["MADE/run", "MADE/no.parquet"], "run"),
        (["curate-tiny", "MADE/no.parquet"], "no.parquet: there is no such file"),
        (["curate-tiny", "x", "--evaluator", "retrival"], "did you mean 'retrieval'"),
        (["curate-tiny", "x", "--label", "y"], "are for zero_shot (add --evaluator zero_shot)"),
        (["curate-tiny", "x", "--evaluator", "zero_shot", "--classes", "MADE/none"], "MADE/none"),
        (["curate-tiny", "x", "--set", "batch_sise=1"], "did you mean 'batch_size'"),
    ],
)
def test_evaluate_what_is_no_model(made: Path, arguments: list[str], said: str) -> None:
    result = curate("evaluate", *[one.replace("MADE", str(made)) for one in arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert said.replace("MADE", str(made)) in result.stderr


# -- the frame ----------------------------------------------------------------------------------


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["stages"][3]["sleep_s"] = 60
    path = write_recipe(tmp_path / "r.yaml", recipe)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    result = curate("run", path)
    monkeypatch.undo()
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr
    assert owner_of(tmp_path / "run") is None
    recipe["stages"][3]["sleep_s"] = 0
    assert curate("run", write_recipe(path, recipe)).exit_code == 0


def test_a_defect_is_shown_with_its_traceback_and_not_dressed_up() -> None:
    @main.command(name="broken", hidden=True)
    def broken() -> None:
        raise RuntimeError("a defect")

    try:
        result = CliRunner().invoke(main, ["broken"])
    finally:
        del main.commands["broken"]
    assert isinstance(result.exception, RuntimeError)


@pytest.mark.parametrize("arguments", [["runn"], ["run"], ["run", "a.yaml", "--engine", "spark"]])
def test_misuse_exits_with_2(arguments: list[str]) -> None:
    result = curate(*arguments)
    assert result.exit_code == 2
    assert result.stderr
