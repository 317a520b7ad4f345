"""The controlled experiment on drawn scenes, with very small models: every step runs for real."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from curate.core.errors import RecipeError
from curate.loop_config import ProveConfig, load_loop
from curate.outcome import Reporter
from curate.proof_report import table_of
from curate.prove import prove
from tests.recipes import curate
from tests.test_bootstrap import Stopper, material, training, weights, written

SOME = ("raw", "F", "C", "CF", "random", "longer")


def experiment(tmp: Path, names: Sequence[str] = SOME) -> dict[str, Any]:
    """A small experiment with arms of these names, which are all kinds there are."""
    data = material(tmp)
    for key in ("rounds", "stop_on_alarm"):
        del data[key]
    del data["run"]["select"]
    judged = {"kind": "capfilt", "itm": "filter_itm"}
    arms: dict[str, Any] = {
        "raw": {},
        "F": {"keep": ["web"], "select": judged},
        "C": {},
        "CF": {"select": judged},
        "random": {"keep": ["web"], "like": "F"},
        "top30": {
            "keep": ["web"],
            "select": {"kind": "top_fraction", "column": "filter_itc", "fraction": 0.3},
        },
        "greedy": {"select": judged, "captions": {"top_p": 0}},
        "shared": {"select": judged, "shared": True},
        "continued": {"select": judged, "continued": True},
        "longer": {"keep": ["web"], "steps_scale": 2},
        "best-last": {
            "select": judged,
            "train": {
                "data": {"score": "filter_itm"},
                "final": {"steps": 2, "share": 0.5, "lr": 1.0e-4},
            },
        },
    }
    data |= {
        "name": "proof",
        "pretrain": training(name="pre", epochs=None, steps=4, batch_size=12),
        "arms": {name: arms[name] for name in names or arms},
        "compare": [["CF", "C"], ["F", "raw"], ["random", "raw"]],
        "seeds": [0, 1],
        "output": str(tmp / "proof"),
    }
    return data


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("prove")
    result = curate("prove", written(tmp, experiment(tmp)), "--json")
    assert result.exit_code == 0, result.output
    (tmp / "said.json").write_text(result.stdout)
    return tmp


def test_every_arm_is_trained_with_every_seed_for_the_same_steps(done: Path) -> None:
    said = json.loads((done / "said.json").read_text())
    arms = said["arms"]
    assert set(arms) == set(SOME)
    assert {name: arm["steps"] for name, arm in arms.items()} == {
        **dict.fromkeys(arms, 4),
        "longer": 8,
    }
    made = weights(done / "proof")
    per_seed = {f"{name}-{seed}" for name in arms for seed in (0, 1)}
    assert {Path(name).parts[1] for name in made} == per_seed | {"captioner", "filter"}
    assert len(set(made.values())) == len(made)
    for name in per_seed:  # what was trained is what the table says
        metrics = (done / "proof" / "models" / name / "result.json").read_text()
        assert json.loads(metrics)["steps"] == (8 if name.startswith("longer") else 4)


def test_arms_keep_what_they_are_to_keep(done: Path) -> None:
    arms = json.loads((done / "said.json").read_text())["arms"]
    assert arms["raw"]["texts"] == {"web": 36}
    assert arms["C"]["texts"] == {"web": 36, "synthetic": 36}
    assert set(arms["F"]["texts"]) <= {"web"}
    assert arms["F"]["texts"]["web"] == arms["CF"]["texts"]["web"] < 36
    assert abs(arms["random"]["texts"]["web"] - arms["F"]["texts"]["web"]) < 12
    assert arms["longer"]["texts"] == arms["raw"]["texts"]
    assert arms["raw"]["threshold"] is arms["C"]["threshold"] is None
    assert 0 <= arms["CF"]["threshold"] <= 1


@pytest.mark.slow
def test_every_kind_of_arm(tmp_path: Path) -> None:
    config = load_loop(ProveConfig, written(tmp_path, experiment(tmp_path, ())))
    proof = prove(config, Reporter())
    arms = {arm.name: arm for arm in proof.arms}
    assert set(arms) == set(config.arms)
    assert arms["top30"].texts["web"] == 11  # 30% of 36, rounded up
    assert {arm.steps for name, arm in arms.items() if name != "longer"} == {4}
    made = weights(tmp_path / "proof")
    assert len(made) == len(set(made.values())) == 2 * len(arms) + 3  # captioner, filter, shared


@pytest.mark.slow
def test_trainings_side_by_side_come_to_the_same_arms(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    names = ("raw", "F", "CF", "random")
    data["arms"] = {name: data["arms"][name] for name in names}
    data["arms"]["continued"] = {"continued": True}
    data |= {"compare": [["CF", "raw"]], "output": str(tmp_path / "proof"), "jobs": 2}
    proof = prove(load_loop(ProveConfig, written(tmp_path, data)), Reporter())
    before = json.loads((done / "said.json").read_text())["arms"]
    for arm in proof.arms:
        if arm.name in before:
            assert (arm.pictures, arm.steps) == (before[arm.name]["pictures"], 4)
    made = weights(tmp_path / "proof")
    assert len(made) == len(set(made.values())) == 5 * 2 + 2
    assert not proof.missing


def test_differences_are_of_the_arms_and_have_intervals(done: Path) -> None:
    said = json.loads((done / "said.json").read_text())
    assert [one["of"] for one in said["differences"]] == [
        ["CF", "C"], ["F", "raw"], ["random", "raw"],
    ]  # fmt: skip
    for one in said["differences"]:
        better, worse = (said["arms"][name]["recall@1"] for name in one["of"])
        for way in ("t2i", "i2t"):
            assert one[way]["value"] == pytest.approx(better[way]["value"] - worse[way]["value"])
            assert one[way]["low"] <= one[way]["value"] <= one[way]["high"]
    assert "| CF - C |" in (done / "proof" / "proof.md").read_text()
    ElementTree.fromstring((done / "proof" / "proof.svg").read_text())


def test_again_costs_nothing(done: Path) -> None:
    before = weights(done / "proof")
    listener = Stopper()
    proof = prove(load_loop(ProveConfig, done / "loop.yaml"), listener)
    assert weights(done / "proof") == before
    assert not [line for line in listener.heard if line.startswith(("pretrain", "evaluate"))]
    assert table_of(proof) == (done / "proof" / "proof.md").read_text()


def test_what_is_there_is_written_down_before_all_is(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    data["arms"] = {name: data["arms"][name] for name in ("raw", "C", "CF")}
    data |= {"compare": [["C", "raw"], ["CF", "C"]], "seeds": [0]}
    data["output"] = str(tmp_path / "proof")
    config = load_loop(ProveConfig, written(tmp_path, data))
    with pytest.raises(KeyboardInterrupt):
        prove(config, Stopper("arm CF"))
    said = json.loads((tmp_path / "proof" / "proof.json").read_text())
    assert set(said["arms"]) == {"raw", "C"}
    assert [one["of"] for one in said["differences"]] == [["C", "raw"]]
    assert said["missing"] == ["CF"]
    assert "**Not finished**: still to come CF." in (tmp_path / "proof" / "proof.md").read_text()


def test_captioner_and_filter_may_have_a_base_of_their_own(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    frozen = {
        **{"optim": {"lr": 3.0e-3, "image_lr_scale": 0}, "data": {"cache": "image_tokens"}},
        "batch_size": 12,
    }
    pretrain = training(name="pre", epochs=None, steps=2, objectives=["itc"], **frozen)
    data |= {
        "pretrain": pretrain,
        "base": training(name="base", epochs=None, steps=3, **frozen),
        "arms": {name: data["arms"][name] for name in ("raw", "C")},
        **{"compare": [["C", "raw"]], "seeds": [0], "output": str(tmp_path / "proof")},
    }
    prove(load_loop(ProveConfig, written(tmp_path, data)), Reporter())
    models = tmp_path / "proof" / "models"
    assert json.loads((models / "base" / "result.json").read_text())["steps"] == 3
    for name in ("captioner", "filter"):
        recipe = yaml.safe_load((models / name / "recipe.yaml").read_text())
        assert recipe["start"]["from"] == str(models / "base" / "model")
    # one tower: training pictures once, test pictures in full precision once
    kinds = [json.loads(path.read_text()) for path in models.parent.glob("image_tokens/*/*.json")]
    assert sorted(kind["dtype"] for kind in kinds) == ["float16", "float32"]
    assert len({kind["tower"] for kind in kinds}) == 1


def test_stopped_it_goes_on(done: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    data["arms"] = {name: data["arms"][name] for name in ("raw", "F")}
    data["compare"] = [["F", "raw"]]
    data["output"] = str(tmp_path / "proof")
    config = load_loop(ProveConfig, written(tmp_path, data))
    for word in ("raw-1", "the filter", "F-1"):
        with pytest.raises(KeyboardInterrupt):
            prove(config, Stopper(word))
    prove(config, Reporter())
    mine, whole = weights(tmp_path / "proof"), weights(done / "proof")
    assert len(mine) == 6
    assert all(whole[name] == body for name, body in mine.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compare": [["CF", "D"]]}, "there is no arm 'D'"),
        ({"seeds": [1, 1]}, "a seed is named twice"),
        ({"arms": {"C": {}, "F": {}}, "compare": [["C", "F"]]}, "one arm must be 'raw: "),
        (
            {"arms": {"raw": {}, "C": {"like": "C"}}, "compare": [["C", "raw"]]},
            "none of the arms C like C says",
        ),
        (
            {
                "arms": {"raw": {}, "C": {"like": "F"}, "F": {"like": "C"}},
                "compare": [["C", "F"]],
            },
            "none of the arms C like F like C says",
        ),
        ({"seeds": [0, -1]}, "greater than or equal to 0"),
        ({"evaluate": {"tables": [], "evaluators": ["matching"]}}, "'retrieval'"),
    ],
)
def test_a_recipe_that_does_not_fit_says_so(
    done: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    with pytest.raises(RecipeError, match=said):
        load_loop(ProveConfig, written(tmp_path, {**data, **changes}))


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"epochs": 3}, "lengths are given in 'steps'"),
        ({"final": {"steps": 4, "share": 0.5, "lr": 1e-4}}, "leaves none of 4"),
        ({"batchsize": 3}, "unknown key 'batchsize'"),
    ],
)
def test_settings_of_an_arm_are_looked_at_before_anything_runs(
    done: Path, tmp_path: Path, train: dict[str, Any], said: str
) -> None:
    data = yaml.safe_load((done / "loop.yaml").read_text())
    data["output"] = str(tmp_path / "proof")
    data["arms"]["F"]["train"] = train
    config = load_loop(ProveConfig, written(tmp_path, data))
    with pytest.raises(RecipeError, match=said):
        prove(config, Reporter())
    assert not (tmp_path / "proof").exists()
