"""The bootstrap loop on drawn scenes, with very small models: every step runs for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curate.bootstrap import bootstrap, table_of
from curate.core.errors import RecipeError, StoreError
from curate.core.selection import list_selections
from curate.core.store import RunStore
from curate.loop_config import BootstrapConfig, load_loop
from curate.outcome import Reporter
from curate.status.folder import Follower
from tests.pretrain.scenes import COLOURS, SHAPES, recipe, scene
from tests.recipes import curate

KINDS = [(colour, shape) for colour in COLOURS for shape in SHAPES]


def training(**changes: Any) -> dict[str, Any]:
    return recipe(**changes).model_dump(mode="json", by_alias=True, exclude_unset=True)


def material(tmp: Path) -> dict[str, Any]:
    """Write noisy pictures and clean tables; returns a recipe of two rounds over them."""
    folder = tmp / "pictures"
    folder.mkdir()
    for number in range(36):
        colour, shape = KINDS[number % 12]
        (folder / f"{number:02d}.png").write_bytes(scene(colour, shape, seed=number))
        if number % 4 == 0:  # another picture's text
            colour, shape = KINDS[(number + 5) % 12]
        (folder / f"{number:02d}.txt").write_text(f"a {colour} {shape}", encoding="utf-8")
    for name, seed in (("clean", 1000), ("test", 2000)):
        rows = [
            {"image": scene(c, s, seed=seed + i), "captions": [f"a {c} {s}", f"it is a {c} {s}"]}
            for i, (c, s) in enumerate(KINDS * 2)
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp / f"{name}.parquet")
    tuned = {"epochs": 1, "start": {"from": "{model}"}}
    return {
        "name": "loop",
        "rounds": 2,
        "run": {
            "name": "scenes",
            "source": {"kind": "image_folder", "path": str(folder), "partition_rows": 20},
            "stages": [
                {"kind": "load", "root": str(folder)},
                {
                    "kind": "captioners/med",
                    "model": "curate-tiny",
                    "max_tokens": 6,
                    "min_tokens": 1,
                },
                {"kind": "scorers/med", "as": "filter", "model": "curate-tiny", "canaries": 0.5},
            ],
            "select": {"kind": "capfilt", "itm": "filter_itm"},
        },
        "captioner_stage": "med",
        "scorer_stage": "filter",
        "canary_recall": 0.5,
        "clean": [{"path": str(tmp / "clean.parquet")}],
        "pretrain": training(name="pre", epochs=2, batch_size=12),
        "captioner": training(name="writer", objectives=["lm"], batch_size=12, **tuned),
        "filter": training(name="judge", objectives=["itc", "itm"], batch_size=12, **tuned),
        "evaluate": {"tables": [{"path": str(tmp / "test.parquet")}], "evaluators": ["retrieval"]},
        "stop_on_alarm": False,
        "output": str(tmp / "loop"),
    }


def written(tmp: Path, data: dict[str, Any]) -> Path:
    path = tmp / "loop.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


class Stopper(Reporter):
    """Presses Ctrl-C when it hears a word for the nth time."""

    def __init__(self, word: str = "", times: int = 1) -> None:
        self.word, self.left = word, times
        self.heard: list[str] = []

    def step_done(self, name: str, message: str) -> None:
        self.heard.append(f"{name}: {message}")
        if self.word and self.word in self.heard[-1]:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def say(self, line: str) -> None:
        self.step_done("", line)


def weights(output: Path) -> dict[str, bytes]:
    files = (output / "models").rglob("model/model.safetensors")
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("bootstrap")
    result = curate("bootstrap", written(tmp, material(tmp)), "--json")
    assert result.exit_code == 0, result.output
    (tmp / "said.json").write_text(result.stdout)
    return tmp


def test_every_round_has_models_and_figures_of_its_own(done: Path) -> None:
    said = json.loads((done / "said.json").read_text())
    assert [one["round"] for one in said["rounds"]] == [1, 2]
    made = weights(done / "loop")
    folders = {name.split("/")[1] for name in made}
    tuned = {f"{n}-{what}" for n in (1, 2) for what in ("captioner", "filter")}
    assert folders == {"0-raw", "1", "2", *tuned}
    assert len(set(made.values())) == 7
    for one in said["rounds"]:
        assert one["noise"]["web"] + one["kept"]["web"] / 36 == pytest.approx(1)
        assert one["noise"]["synthetic"] + one["kept"]["synthetic"] / 36 == pytest.approx(1)
        assert one["canaries"] > 4
        assert one["canary_recall"] == pytest.approx(0.5, abs=0.2)
        assert 0 <= one["evaluation"]["retrieval"]["t2i"]["1"] <= 1
    assert set(list_selections(RunStore(done / "loop" / "run"))) == {"raw", "round-1", "round-2"}
    table = (done / "loop" / "bootstrap.md").read_text()
    assert len(table.splitlines()) >= 5
    assert "| raw |" in table


def test_again_trains_nothing(done: Path) -> None:
    before = weights(done / "loop")
    listener = Stopper()
    result = bootstrap(load_loop(BootstrapConfig, done / "loop.yaml"), listener)
    assert weights(done / "loop") == before
    assert not [line for line in listener.heard if line.startswith(("pretrain", "evaluate"))]
    assert table_of(result) == (done / "loop" / "bootstrap.md").read_text()


def test_its_folder_says_that_it_is_finished(done: Path) -> None:
    facts = Follower(done / "loop").facts()
    assert (facts["kind"], facts["state"], facts["run"]["state"]) == ("loop", *["finished"] * 2)
    names = [one["training"].rpartition("/")[2] for one in facts["trainings"]]
    assert names[:3] == ["0-raw", "1", "1-captioner"]
    for one in facts["trainings"]:
        assert (one["state"], one["step"]) == ("finished", one["steps"])


def test_stopped_anywhere_it_comes_to_the_same(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    data["rounds"] = 1
    data["output"] = str(tmp_path / "loop")
    path = written(tmp_path, data)
    for word in ("raw", "captioner of round", "round 1: captioning", "texts (1)"):
        with pytest.raises(KeyboardInterrupt):
            bootstrap(load_loop(BootstrapConfig, path), Stopper(word))
    bootstrap(load_loop(BootstrapConfig, path), Reporter())
    mine, whole = weights(tmp_path / "loop"), weights(done / "loop")
    assert len(mine) == 4
    assert all(whole[name] == body for name, body in mine.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"captioner_stage": "mad"}, "no stage 'mad'.*med"),
        ({"rounds": 0}, "greater than or equal to 1"),
        ({"clean": []}, "at least 1"),
        ({"filtr": {}}, "unknown key 'filtr'.*filter"),
        ({"pretrain": {"recipe": "nowhere.yaml"}}, "'nowhere.yaml' cannot be read"),
    ],
)
def test_a_recipe_that_cannot_run_says_so_before_anything_runs(
    done: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    path = written(tmp_path, {**data, "output": str(tmp_path / "loop"), **changes})
    with pytest.raises(RecipeError, match=said):
        bootstrap(load_loop(BootstrapConfig, path), Reporter())
    assert not (tmp_path / "loop").exists()


def test_trainings_take_their_pairs_from_the_loop(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    data["filter"]["data"] = {"tables": [{"path": "x.parquet"}]}
    with pytest.raises(RecipeError, match=r"leave out its data\.tables"):
        load_loop(BootstrapConfig, written(tmp_path, data))


def test_thresholds_need_canaries(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    data["run"]["stages"][2]["canaries"] = 0
    data["rounds"] = 1
    with pytest.raises(StoreError, match="has no canaries of filter_itm"):
        bootstrap(load_loop(BootstrapConfig, written(done, data)), Reporter())
