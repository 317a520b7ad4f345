from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.core import yaml_lines
from curate.core.yaml_lines import dotted

TEXT = """\
# a comment
name: x
stages:
  - {kind: a, size: 1}
  - kind: b

    size: 2
other: {deep: {deeper: 3}}
"""


def test_every_key_has_its_line() -> None:
    data, lines, problems = yaml_lines.load(TEXT)
    assert problems == []
    assert data["stages"][1] == {"kind": "b", "size": 2}
    wanted = {
        (): 2,
        ("name",): 2,
        ("stages",): 3,
        ("stages", 0): 4,
        ("stages", 0, "size"): 4,
        ("stages", 1): 5,
        ("stages", 1, "size"): 7,
        ("other", "deep", "deeper"): 8,
    }
    assert {path: lines[path] for path in wanted} == wanted


def test_a_path_without_a_line_has_its_parents() -> None:
    _, lines, _ = yaml_lines.load(TEXT)
    assert lines["stages", 1, "missing", "deeper"] == 5
    assert lines["missing",] == 2
    assert yaml_lines.Lines()["a",] is None


def test_repeated_keys_are_problems() -> None:
    _, _, problems = yaml_lines.load("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n")
    assert {str(one) for one in problems} == {
        "line 5: b.c: the key stands twice",
        "line 6: a: the key stands twice",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\nb: *nowhere\n", 2),
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", 2),
        ("a: 1\n? [x]\n: 2\n", 2),
    ],
)
def test_what_is_no_plain_yaml_is_a_problem_with_its_line(text: str, line: int) -> None:
    data, _, (problem,) = yaml_lines.load(text)
    assert data is None
    assert problem.line == line
    assert problem.message.startswith("not valid YAML: ")


def test_bytes_that_are_no_text_are_a_problem() -> None:
    data, _, (problem,) = yaml_lines.load("a: \x00\n")
    assert data is None
    assert problem.message.startswith("not valid YAML: ")


def test_anchors_and_merge_keys_work() -> None:
    text = "a: &x {k: 1}\nb: *x\nc:\n  <<: *x\n  z: 2\n"
    data, lines, problems = yaml_lines.load(text)
    assert problems == []
    assert data == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "z": 2}}
    assert lines["b",] == 2
    assert lines["c", "z"] == 5


def test_an_anchor_that_holds_itself_is_a_problem() -> None:
    data, _, (problem,) = yaml_lines.load("a: 1\nb: &x\n  c: *x\n")
    assert data is None
    assert str(problem) == "line 2: c: an anchor that holds itself"


def test_anchors_of_anchors_of_anchors_are_a_problem() -> None:
    text = "l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    data, _, (problem,) = yaml_lines.load(text)
    assert data is None
    assert "anchors unfold to more than 100,000 values" in problem.message


def test_a_document_nested_too_deeply_is_a_problem() -> None:
    data, _, (problem,) = yaml_lines.load("a: " + "[" * 5000 + "]" * 5000)
    assert data is None
    assert problem.message == "nested too deeply"


@given(st.text(alphabet="ab:-[]{}&*!|#'\"<> \n\t", max_size=40))
def test_any_text_gives_data_or_problems(text: str) -> None:
    data, _, problems = yaml_lines.load(text)
    assert data is None or not any("not valid" in one.message for one in problems)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("stages", 2, "min_side"), "stages[2].min_side"),
        (("a", 0, 1), "a[0][1]"),
    ],
)
def test_dotted(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text
