"""The places themselves: every one is named, documented, and kills when it is told to."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import curate
from curate.core.failpoints import POINTS, TRACE_VARIABLE, VARIABLE

DOCS = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

SCRIPT = """
from pathlib import Path
from curate.core.failpoints import reach
for number in range(4):
    reach("file.renamed", Path("leg-0/parts/000000/one.parquet"))
    reach("file.renamed", Path("leg-0/commits/000000/one.json"))
    print(number, flush=True)
"""


def run(**environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_place_has_a_name_and_every_name_a_place() -> None:
    found = []
    for path in Path(curate.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "reach":
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: a name is due"
                found.append(name.value)
    assert sorted(found) == sorted(POINTS)


def test_every_place_is_documented_as_it_is_told() -> None:
    rows = re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.*) \|$", DOCS.read_text(), re.M)
    assert {name: told[0].lower() + told[1:] for name, told in rows} == POINTS


@pytest.mark.parametrize(
    ("where", "printed"),
    [("file.renamed", 0), ("file.renamed:4", 1), ("file.renamed@commits:3", 2)],
)
def test_the_process_dies_where_it_was_told_to(where: str, printed: int) -> None:
    code, said = run(**{VARIABLE: where})
    assert code == -signal.SIGKILL
    assert said.split() == [str(number) for number in range(printed)]


@pytest.mark.parametrize("where", ["", "file.renamed:9", "file.renamed@ledger"])
def test_elsewhere_nothing_happens(where: str) -> None:
    assert run(**{VARIABLE: where}) == (0, "0\n1\n2\n3\n")


def test_the_trace_says_what_was_come_to(tmp_path: Path) -> None:
    assert run(**{TRACE_VARIABLE: str(tmp_path / "trace")})[0] == 0
    lines = (tmp_path / "trace").read_text().splitlines()
    assert len(lines) == 8
    assert lines[1] == "file.renamed\tleg-0/commits/000000/one.json"


def test_a_name_that_is_none_is_refused() -> None:
    code, said = run(**{VARIABLE: "commit.parts"})
    assert code == 1
    assert "CURATE_FAILPOINT='commit.parts': no such place; there are file.begun" in said
