from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate import recipe as recipes
from curate.core.errors import RecipeError
from curate.recipe import Recipe
from tests.recipes import folder_recipe, installed_plugin, picture_folder, write_recipe


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> Iterator[None]:
    with installed_plugin():
        yield


def load(tmp: Path, recipe: dict[str, Any] | str, **options: Any) -> Recipe:
    return recipes.load(write_recipe(tmp / "r.yaml", recipe), **options)


def problems(tmp: Path, recipe: dict[str, Any] | str, **options: Any) -> list[str]:
    with pytest.raises(RecipeError) as raised:
        load(tmp, recipe, **options)
    return [str(one) for one in raised.value.problems]


def planned_problems(tmp: Path, recipe: dict[str, Any] | str) -> list[str]:
    loaded = load(tmp, recipe)
    with pytest.raises(RecipeError) as raised:
        loaded.plan()
    return [str(one) for one in raised.value.problems]


BAD = """\
name: bad name
sorce: {kind: url_list}
source: {kind: url_lst, path: x}
stages:
  - {kind: resolution, min_side: 0}
  - {kind: aspect_ratio, max: 3, mox: 4}
  - {kind: text_length, min_words: many}
  - resolution
  - {kind: blip, model: x/y}
  - {kind: med/captioner}
  - {kind: captioners/mde}
  - {kind: resolution}
select: {kind: capfilt, threshold: 2}
sinks: {kind: lance}
export: [{kind: webdatset}]
engine: {kind: spark}
evaluate: {tables: [{path: x, imge: y}], batch_size: 0}
output: [a]
"""


def test_all_faults_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    assert problems(tmp_path, BAD) == [
        "line 1: name: 'bad name' is no name (letters, digits, '.', '_' and '-')",
        "line 2: sorce: unknown key 'sorce' (did you mean 'source'?)",
        "line 3: source.kind: there is no kind 'url_lst' (did you mean 'url_list'?)",
        "line 5: stages[0].min_side: input should be greater than or equal to 1, got 0",
        "line 6: stages[1].mox: unknown key 'mox' (did you mean 'max'?)",
        "line 7: stages[2].min_words: input should be a valid integer, unable to parse string as "
        "an integer, got 'many'",
        "line 8: stages[3]: a mapping with a 'kind' is due here ({kind: ...})",
        "line 9: stages[4].kind: 'blip' can be several things here "
        "(write 'captioners/blip' or 'scorers/blip')",
        "line 10: stages[5].kind: no family 'med' here "
        "(one of: captioners, dedup, download, filters, scorers, text_filters)",
        "line 11: stages[6].kind: there is no 'mde' among the captioners: did you mean 'med'?",
        "line 12: stages[7]: give min_side, max_side, min_area or max_area: without one nothing "
        "stops",
        "line 13: select.itm: 'itm' is missing",
        "line 13: select.threshold: input should be less than or equal to 1, got 2",
        "line 14: sinks: 'sinks' is a list (one '- {kind: ...}' a line)",
        "line 15: export[0].kind: there is no kind 'webdatset' "
        "(did you mean 'webdataset' or 'hf_datasets'?)",
        "line 16: engine.kind: input should be 'local' or 'ray', got 'spark'",
        "line 17: evaluate.tables[0].imge: unknown key 'imge' (did you mean 'image' or 'images'?)",
        "line 17: evaluate.batch_size: input should be greater than or equal to 1, got 0",
        "line 17: evaluate: 'evaluate' judges a trained model, and there is no 'pretrain'",
        "line 18: output: ['a'] is no folder",
    ]


def test_the_whole_message_names_the_recipe_and_the_count(tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "r.yaml", "name: x\n")
    with pytest.raises(RecipeError) as raised:
        recipes.load(path)
    assert str(raised.value) == (
        f"{path}: 1 problem, nothing was run\n"
        "  line 1: source: 'source' is missing "
        "(one of: datacomp, image_folder, img2dataset, url_list, webdataset)"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"export": [{"kind": "webdataset"}], "select": None}, "there is no 'select'"),
        ({"pretrain": {"name": "x"}, "select": None}, "there is no 'select'"),
        ({"evaluate": {"seed": 1}}, "there is no 'pretrain'"),
        ({"select": {}}, "a mapping with a 'kind' is due here"),
        ({"select": {"kind": "capfilt", "itm": "letters_itm", "name": "../x"}}, "no name for a"),
        ({"stages": {"kind": "exact"}}, "'stages' is a list"),
        ({"engine": "ray"}, "'engine' is a mapping"),
        ({"output": 5}, "5 is no folder"),
        ({"output": ""}, "'' is no folder"),
        ({"name": 5}, "5 is no name"),
    ],
)
def test_a_section_that_cannot_be_used_is_said(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    recipe = {**folder_recipe(tmp_path), **options}
    found = problems(tmp_path, {k: v for k, v in recipe.items() if v is not None})
    assert [one for one in found if said in one]


def test_a_file_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write_recipe(tmp_path / "laion.yaml", "name: x\n")
    with pytest.raises(RecipeError, match=r"no such file \(did you mean 'laion\.yaml'\?\)"):
        recipes.load(tmp_path / "lion.yaml")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "a recipe is a mapping"),
        (b"- a\n", "a recipe is a mapping"),
        (b"name: [\n", "line 2: not valid YAML"),
        (b"name: \xff\xfe\n", "cannot be read: 'utf-8' codec"),
        (b"name: a\nname: b\n", "line 2: name: the key stands twice"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, body: bytes, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(body)
    with pytest.raises(RecipeError) as raised:
        recipes.load(path)
    assert said in str(raised.value)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        recipes.load(tmp_path)


# -- which kind is meant ------------------------------------------------------------------------


def test_a_kind_of_two_families_is_told_by_its_options(tmp_path: Path) -> None:
    stages = [
        {"kind": "blip", "model": "x/y", "num_captions": 1},
        {"kind": "blip", "model": "x/y", "as": "filter"},
        {"kind": "scorers/blip", "model": "x/y"},
    ]
    recipe = load(tmp_path, folder_recipe(tmp_path, stages=stages, select=None))
    assert [(stage.family, stage.name) for stage in recipe.stages] == [
        ("captioners", "blip"),
        ("scorers", "filter"),
        ("scorers", "blip_2"),
    ]


def test_repeated_names_get_numbers(tmp_path: Path) -> None:
    stages = [{"kind": "resolution", "min_side": n} for n in (1, 2, 3)]
    recipe = load(tmp_path, folder_recipe(tmp_path, stages=stages, select=None))
    assert [s.name for s in recipe.stages] == ["resolution", "resolution_2", "resolution_3"]
    assert [s.key for s in recipe.stages] == ["stages[0]", "stages[1]", "stages[2]"]


# -- overrides and {output} ---------------------------------------------------------------------


def test_overrides(tmp_path: Path) -> None:
    recipe = load(
        tmp_path,
        folder_recipe(tmp_path),
        engine="ray",
        output=tmp_path / "other",
        sets=["stages[1].min_side=7", "select.threshold=0.25", "engine.flight=3"],
    )
    assert (recipe.engine.kind, recipe.engine.flight) == ("ray", 3)
    assert recipe.output == tmp_path / "other"
    assert recipe.stages[1].config.identity()["min_side"] == 7
    assert recipe.select is not None
    assert recipe.select.config.identity()["threshold"] == 0.25


def test_a_bad_override_is_a_problem_among_others(tmp_path: Path) -> None:
    found = problems(tmp_path, folder_recipe(tmp_path), sets=["stages[9].x=1", "oops", "name=a"])
    assert found == [
        "--set 'stages[9].x=1': there is no 9 in the recipe",
        "--set 'oops' is not of the form key=value (stages[1].resize=256)",
    ]
    found = problems(tmp_path, folder_recipe(tmp_path), sets=["stages[1].min_side=-1"])
    assert found[0].endswith("min_side: input should be greater than or equal to 1, got -1")


def test_output_is_filled_in_wherever_it_is_named(tmp_path: Path) -> None:
    recipe = folder_recipe(tmp_path, output="somewhere")
    recipe["source"] = {"kind": "image_folder", "path": "{output}/pictures"}
    recipe["stages"][0]["root"] = "{output}/pictures"
    loaded = load(tmp_path, recipe)
    assert loaded.source.config.identity() == load(tmp_path, recipe).source.config.identity()
    assert loaded.raw["source"]["path"] == "somewhere/pictures"
    assert loaded.raw["stages"][0]["root"] == "somewhere/pictures"
    moved = load(tmp_path, recipe, output=Path("there"))
    assert moved.raw["source"]["path"] == "there/pictures"


def test_the_output_is_runs_and_the_name_when_nothing_is_said(tmp_path: Path) -> None:
    recipe = folder_recipe(tmp_path, output=None)
    recipe["source"]["path"] = "{output}/pictures"
    loaded = load(tmp_path, recipe)
    assert loaded.output == Path("runs/small")
    assert loaded.raw["source"]["path"] == "runs/small/pictures"


def test_a_selections_name_is_not_its_selectors(tmp_path: Path) -> None:
    recipe = folder_recipe(tmp_path)
    recipe["select"]["name"] = "strict"
    loaded = load(tmp_path, recipe)
    assert loaded.selection == "strict"
    assert load(tmp_path, folder_recipe(tmp_path)).selection == "default"


# -- checks against the surroundings ------------------------------------------------------------


def test_a_good_recipe_is_planned(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    plan = load(tmp_path, folder_recipe(tmp_path)).plan()
    assert [leg.name for leg in plan.legs] == [
        "image_folder+load+resolution",
        "text_length+letters",
    ]


CANNOT = """\
name: x
source: {kind: image_folder, path: PATH/nowhere}
stages:
  - {kind: resolution, min_side: 2}
  - {kind: load, root: PATH/nowhere}
  - {kind: captioners/med, model: PATH/no_model}
select: {kind: capfilt, itm: filter_itm}
"""


def test_everything_wrong_with_the_surroundings_is_reported_at_once(tmp_path: Path) -> None:
    found = planned_problems(tmp_path, CANNOT.replace("PATH", str(tmp_path)))
    assert [one.split(":")[0] for one in found] == ["line 2", "line 5", "line 6"]
    assert "nowhere" in found[0]
    assert "is no folder" in found[1]
    assert "no_model" in found[2]


def test_a_stage_that_reads_what_nobody_writes(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    del recipe["stages"][0]
    found = planned_problems(tmp_path, recipe)
    assert [one for one in found if "resolution reads the column 'original_width'" in one]


def test_a_selector_that_reads_what_no_scorer_writes(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path)
    recipe["select"]["itm"] = "letter_itm"
    (found,) = planned_problems(tmp_path, recipe)
    assert "the selector reads the scores 'letter_itm', which no scorer writes" in found
    assert found.endswith("(did you mean 'letters_itm'?)")
    recipe["stages"] = recipe["stages"][:2]
    (found,) = planned_problems(tmp_path, recipe)
    assert found.endswith("(add a scorer to 'stages')")


def test_an_exporter_that_reads_what_nobody_writes(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path, export=[{"kind": "webdataset"}])
    recipe["stages"] = recipe["stages"][2:]
    (found,) = planned_problems(tmp_path, recipe)
    assert "webdataset reads the column 'image', which no stage writes" in found


def test_pretraining_without_pictures_is_said(tmp_path: Path) -> None:
    picture_folder(tmp_path / "pictures")
    recipe = folder_recipe(tmp_path, pretrain={"recipe": "pipelines/pretrain/quickstart.yaml"})
    recipe["stages"] = recipe["stages"][2:]
    (found,) = planned_problems(tmp_path, recipe)
    assert "pretraining reads the column 'image', which no stage writes" in found


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([], "evaluate.tables: pictures with texts to judge by are due"),
        ([{"path": "no/*.parquet"}], "evaluate.tables[0].path: there is no file 'no/*.parquet'"),
    ],
)
def test_evaluation_without_tables_is_said_before_anything_is_trained(
    tmp_path: Path, tables: list[dict[str, str]], said: str
) -> None:
    picture_folder(tmp_path / "pictures")
    pretrain = {"recipe": "pipelines/pretrain/quickstart.yaml"}
    recipe = folder_recipe(tmp_path, pretrain=pretrain, evaluate={"tables": tables})
    assert planned_problems(tmp_path, recipe) == [said]


def test_pretraining_settings_may_come_from_a_file_and_be_changed(tmp_path: Path) -> None:
    base = "pipelines/pretrain/quickstart.yaml"
    recipe = folder_recipe(tmp_path, pretrain={"recipe": base, "name": "mine"})
    loaded = load(tmp_path, recipe)
    assert loaded.pretrain is not None
    assert loaded.pretrain.name == "mine"
    gone = folder_recipe(tmp_path, pretrain={"recipe": "no.yaml"})
    (found,) = problems(tmp_path, gone)
    assert "pretrain.recipe: 'no.yaml' cannot be read" in found
