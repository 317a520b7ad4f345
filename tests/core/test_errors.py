from __future__ import annotations

import pickle

import pytest

from curate.core import errors
from curate.core.errors import CurateError, Problem, RecipeError, nearest


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem("bad", "a.b", 7, "do c"), "line 7: a.b: bad (do c)"),
        (Problem("bad"), "bad"),
        (Problem("bad", "a"), "a: bad"),
    ],
)
def test_a_problem_says_where_what_and_how_to_mend_it(problem: Problem, said: str) -> None:
    assert str(problem) == said


def test_problems_stand_in_the_order_of_their_lines() -> None:
    error = RecipeError("r.yaml", [Problem("none"), Problem("b", line=9), Problem("a", line=2)])
    assert str(error) == ("r.yaml: 3 problems, nothing was run\n  line 2: a\n  line 9: b\n  none")
    assert str(RecipeError("r", [Problem("x")])).startswith("r: 1 problem, nothing was run")


def test_a_recipe_error_crosses_a_process_boundary_whole() -> None:
    error = RecipeError("r.yaml", [Problem("a", "k", 2, "h")])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), error.problems)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = {
        line.split("── ")[1].split()[0] for line in errors.__doc__.splitlines() if "── " in line
    }
    real = {
        name
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, CurateError) and one is not CurateError
    }
    assert drawn == real


@pytest.mark.parametrize(
    ("name", "valid", "said"),
    [
        ("keepratio", ["border", "keep_ratio"], "did you mean 'keep_ratio'?"),
        ("zzz", ["b", "a"], "one of: a, b"),
        ("x", [], "there is none to choose from"),
    ],
)
def test_nearest(name: str, valid: list[str], said: str) -> None:
    assert nearest(name, valid) == said
