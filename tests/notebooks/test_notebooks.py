"""Every notebook is committed without outputs and runs from top to bottom on a real run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import curate
from tests.docs.small_run import make_small_run

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    result = make_small_run(folder, folder / "run")
    assert result.passes.kept == 10
    return result.root


def cells(notebook: Any, kind: str) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == [
        "compare_thresholds.ipynb",
        "inspect_pairs.ipynb",
        "read_the_ledger.ipynb",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_committed_without_outputs(path: Path) -> None:
    for cell in cells(read(path), "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_holds_no_logic(path: Path) -> None:
    logic = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try, ast.With)
    for cell in cells(read(path), "code"):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, logic), cell.source
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"os", "curate"}
            assert not isinstance(node, ast.ImportFrom), cell.source


def shown(name: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a notebook from top to bottom; returns what its cells show."""
    monkeypatch.setenv("CURATE_RUN", str(run))
    notebook = read(FOLDER / name)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    outputs = [output for cell in cells(notebook, "code") for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"execute_result", "display_data"}
    silent = [cell.source for cell in cells(notebook, "code") if not cell.outputs]
    assert silent == []
    return [output.data for output in outputs]


def test_inspect_pairs_runs(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shown("inspect_pairs.ipynb", small_run, monkeypatch)
    plain = [one["text/plain"] for one in data]
    assert plain[0] == "('small', ['default'])"
    html = [one.get("text/html", "") for one in data]
    assert sum("curate-charts" in one for one in html) == 1
    galleries = [one for one in html if "curate-gallery" in one]
    *galleries, alike = galleries
    assert len(galleries) == 4
    assert 1 < alike.count("<figure>") <= 6
    texts = curate.open_run(small_run).texts(selection="default")
    kept = texts[texts["selected"]]
    web = kept[kept["source"] == "web"]
    pictures = [
        kept["uid"].nunique(),
        texts[~texts["selected"]]["uid"].nunique(),
        texts["uid"].nunique(),
        len(set(kept["uid"]) - set(web["uid"])),
    ]
    assert [one.count("<figure>") for one in galleries] == [min(8, n) for n in pictures]
    assert galleries[2].count("data:image/jpeg;base64,") == 8
    rejected = galleries[1]
    assert 'class="no"' in rejected
    assert any("not_an_image" in text for text in plain)
    assert plain[-1] == f"{{'default': {len(kept)}}}"


def test_compare_thresholds_runs(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shown("compare_thresholds.ipynb", small_run, monkeypatch)
    assert sum("curate-charts" in one.get("text/html", "") for one in data) == 1
    assert sum("image/png" in one for one in data) == 1
    texts = curate.open_run(small_run).texts()
    between = texts.query("0.1 <= filter_itm < 0.3")
    gallery = next(one["text/html"] for one in data if "curate-gallery" in one.get("text/html", ""))
    assert gallery.count("<figure>") == between["uid"].nunique()


def test_read_the_ledger_runs(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shown("read_the_ledger.ipynb", small_run, monkeypatch)
    plain = [one["text/plain"] for one in data]
    assert "{'in the table': 10, 'in the ledger': 1, 'rows in': 11}" in plain
    assert sum("image/png" in one for one in data) == 1
