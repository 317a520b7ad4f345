"""A scorer that takes the image tokens of a captioner of the same checkpoint."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.core.errors import ModelError, RecipeError
from curate.core.table import CommittedTable
from curate.recipe import parse
from curate.stages.captioners.med import Config as Captioner
from curate.stages.scorers.med import Config as Scorer
from tests.models.checkpoints import tiny_med
from tests.recipes import curate, folder_recipe, picture_folder, write_recipe
from tests.stages.partition_tables import partition_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_med(tmp_path_factory.mktemp("models") / "tiny-med")


def _counting(config: Any, passes: Counter[str]) -> Any:
    """Count the pictures that go through the model's vision tower."""

    class Counted(type(config)):  # type: ignore[misc]
        def load(self) -> Any:
            model = super().load()
            name = type(model).__name__
            model.model.image_tower.register_forward_pre_hook(
                lambda _, given: passes.update({name: len(given[0])})
            )
            return model

    return Counted(**config.model_dump(by_alias=True))


def _both(
    folder: Path, rows: pa.Table, *, shared: bool, dtype: str = "auto"
) -> tuple[pa.Table, Counter[str]]:
    passes: Counter[str] = Counter()
    captioner = Captioner(model=str(folder), max_tokens=6, batch_size=4)
    settings = {"as": "filter", "dtype": dtype, "share_with": "med" if shared else None}
    scorer = Scorer(model=str(folder), batch_size=4, **settings)
    stages = {
        "med": _counting(captioner, passes).build(),
        "filter": _counting(scorer, passes).build(),
    }
    with stages["med"].ready(), stages["filter"].ready():
        for stage in stages.values():
            stage.meet(stages)
        for _ in range(2):  # two partitions: what is remembered of the first is of no use then
            scored = stages["filter"](stages["med"](rows).rows).rows
    return scored, passes


def test_the_tower_sees_every_picture_once_instead_of_twice(folder: Path) -> None:
    rows = partition_table()
    apart, twice = _both(folder, rows, shared=False)
    shared, once = _both(folder, rows, shared=True)
    assert twice == {"MedCaptioner": 12, "MedScorer": 12}
    assert once == {"MedCaptioner": 12}
    assert shared.column_names == apart.column_names
    assert shared["texts"].equals(apart["texts"])
    for name in ("filter_itc", "filter_itm"):
        for one, other in zip(shared[name].to_pylist(), apart[name].to_pylist(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_weights_in_another_type_are_not_shared(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny-med@\w+ in torch.float32 and .* in torch.bfloat16"):
        _both(folder, partition_table(), shared=True, dtype="bfloat16")


def _recipe(
    tmp_path: Path, folder: Path, /, *between: dict[str, Any], **scorer: Any
) -> dict[str, Any]:
    pictures = picture_folder(tmp_path / "pictures")
    stages = [
        {"kind": "load", "root": str(pictures)},
        {"kind": "captioners/med", "model": str(folder), "max_tokens": 6},
        *between,
        {
            "kind": "scorers/med",
            "as": "filter",
            "model": str(folder),
            "share_with": "med",
            **scorer,
        },
    ]
    return folder_recipe(tmp_path, stages=stages, select=None)


def test_a_run_with_both_in_one_leg(tmp_path: Path, folder: Path) -> None:
    recipe = _recipe(tmp_path, folder)
    result = curate("run", write_recipe(tmp_path / "recipe.yaml", recipe), "--json")
    assert result.exit_code == 0, result.output
    table = CommittedTable.open(tmp_path / "run")
    assert [node.stages for node in table.nodes][-1] == ("med", "filter")
    scores = [s for rows in table.each_rows(["filter_itm"]) for s in rows["filter_itm"].to_pylist()]
    assert scores
    assert all(number is not None for some in scores for number in some if some)


@pytest.mark.parametrize(
    ("between", "scorer"),
    [
        ([], {"share_with": "captioner"}),
        ([], {"num_cpus": 2}),
        ([], {"device": "cpu"}),
        ([], {"model": "curate-tiny"}),
        ([{"kind": "text_length", "min_words": 1}], {}),
    ],
)
def test_stages_that_cannot_share_are_told_before_anything_runs(
    tmp_path: Path, folder: Path, between: list[dict[str, Any]], scorer: dict[str, Any]
) -> None:
    recipe = parse(_recipe(tmp_path, folder, *between, **scorer))
    with pytest.raises(RecipeError, match=r"filter shares with '\w+', which does not stand before"):
        recipe.plan()
