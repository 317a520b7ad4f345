from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from curate.core.errors import RecipeError
from curate.pretrain.config import PretrainConfig, load_pretrain_recipe
from curate.pretrain.objectives.itm import Config as Itm
from curate.pretrain.objectives.lm import Config as Lm

START = {"vocabulary": 200}
GOOD = """\
name: small
start: {vocabulary: 200}
objectives: [itm, {kind: lm, label_smoothing: 0.2, weight: 2}]
epochs: 3
"""


def test_a_recipe_is_read_and_survives_a_round_trip(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD)
    recipe = load_pretrain_recipe(tmp_path / "small.yaml")
    assert recipe.objectives == (Itm(), Lm(label_smoothing=0.2, weight=2))
    assert PretrainConfig.model_validate(recipe.model_dump(mode="json", by_alias=True)) == recipe


SHIPPED = sorted((Path(__file__).parents[2] / "pipelines" / "pretrain").rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_shipped_recipes_are_valid(path: Path) -> None:
    assert len(SHIPPED) >= 16
    recipe = load_pretrain_recipe(path)
    config = recipe.architecture.model_class().config_class
    known = {name for c in config.__mro__ for name in vars(c).get("__annotations__", {})}
    assert set(recipe.start.model) <= known


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_opens_with_source_result_cost_and_command(path: Path) -> None:
    head = path.read_text().split("\nname:")[0]
    for word in ("Source", "Data", "Expected", "Cost", "Command"):
        assert f"# {word}" in head, word
    assert f"curate pretrain {path.relative_to(Path(__file__).parents[2])}" in head


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "name: bad\n"
        "start:\n"
        "  vocabulary: 200\n"
        "  vocabulry: 3\n"
        "objectives: [itc, itx]\n"
        "epochs: 0\n"
        "optim: {lr: 0}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_pretrain_recipe(tmp_path / "bad.yaml")
    lines = [str(problem) for problem in caught.value.problems]
    assert len(lines) == 4
    assert lines[0].startswith("line 4: start.vocabulry: ")
    assert "did you mean 'vocabulary'?" in lines[0]
    assert lines[1].startswith("line 5: objectives")
    assert "there is no 'itx' among the objectives" in lines[1]
    assert lines[2].startswith("line 6: epochs: ")
    assert lines[3].startswith("line 7: optim.lr: ")


@pytest.mark.parametrize("text", ["name: [", "", "- a list"])
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(RecipeError):
        load_pretrain_recipe(tmp_path / "bad.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_pretrain_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": {"from": "x", "vocabulary": 200}}, "takes no image"),
        ({"start": {}}, "size of the vocabulary"),
        ({"data": {"views": 3}}, "'cache: image_tokens' alone"),
        ({"data": {"cache": "image_tokens"}}, "tower must not change"),
        (
            {"data": {"cache": "image_tokens"}, "optim": {"image_lr_scale": 0}},
            "shows pictures whole",
        ),
        ({"optim": {"image_lr_scale": 0, "image_unlocked": 1}}, "has no effect"),
        ({"objectives": ["itc", {"kind": "itm", "swaps": [["red"]]}]}, "nothing to swap"),
        (
            {"objectives": ["itc", {"kind": "itm", "swaps": [["red", "blue"], ["red", "dog"]]}]},
            "'red' is in swaps twice",
        ),
        ({"augment": {"crop_area": (0.9, 0.5)}}, "crop_area"),
        ({"augment": {"crop_aspect": (0, 2)}}, "crop_aspect"),
        ({"objectives": []}, "objectives"),
        ({"objectives": [{"weight": 2}]}, "needs a 'kind'"),
        ({"workers": {"count": 0}}, "workers.count"),
        ({"workers": {"count": 9}, "batch_size": 16, "accumulate": 2}, "less than a pair for each"),
        ({"workers": {"shard": True}}, "a 'count' above 1"),
        ({"workers": {"count": 2, "shard": True}, "precision": "fp16"}, "goes with bf16 or fp32"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, object], said: str
) -> None:
    settings = {"name": "x", "start": START, "objectives": ["itc"], "epochs": 1}
    with pytest.raises(ValidationError, match=said):
        PretrainConfig(**{**settings, **changes})
