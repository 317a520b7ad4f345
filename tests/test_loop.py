"""What every loop makes of its settings."""

from __future__ import annotations

from typing import Any

import pytest

from curate.core.errors import RecipeError
from curate.core.table import CommittedTable
from curate.loop import Loop
from curate.loop_config import BootstrapConfig, load_loop
from curate.outcome import Reporter
from curate.run import run
from tests.test_bootstrap import material, written


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Loop, CommittedTable]:
    """Return a loop without canaries' thresholds, and a table that curate-tiny has scored."""
    tmp = tmp_path_factory.mktemp("loop")
    data: dict[str, Any] = {**material(tmp), "canary_recall": None}
    made = Loop(load_loop(BootstrapConfig, written(tmp, data)), Reporter())
    load, _, scorer = data["run"]["stages"]
    recipe = made._recipe({"select": None, "stages": [load, scorer]})
    run(recipe, Reporter())
    return made, CommittedTable.open(recipe.output)


def test_without_canaries_a_threshold_has_to_be_given(loop: tuple[Loop, CommittedTable]) -> None:
    made, table = loop
    rescue = {"kind": "rescue", "column": "filter_itc"}
    with pytest.raises(RecipeError, match="min"):
        made.selector(rescue, table)
    assert made.selector({**rescue, "min": 0.3}, table)[2] == 0.3


def test_without_canaries_a_selector_may_do_without_one(loop: tuple[Loop, CommittedTable]) -> None:
    made, table = loop
    plan, score, threshold = made.selector({"kind": "best_k", "column": "filter_itc"}, table)
    assert (plan.kind, score, threshold) == ("best_k", "filter_itc", None)
