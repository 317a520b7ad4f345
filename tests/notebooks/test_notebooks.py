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
    assert [path.name for path in NOTEBOOKS] == ["inspect_pairs.ipynb"]


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


def test_inspect_pairs_runs(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_RUN", str(small_run))
    notebook = read(FOLDER / "inspect_pairs.ipynb")
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    outputs = [output for cell in cells(notebook, "code") for output in cell.outputs]
    kinds = [output.output_type for output in outputs]
    assert kinds.count("execute_result") == len(cells(notebook, "code"))
    plain = [output.data["text/plain"] for output in outputs if "data" in output]
    assert plain[0] == "('small', ['default'])"
    shown = [output.data.get("text/html", "") for output in outputs if "data" in output]
    galleries = [html for html in shown if "curate-gallery" in html]
    assert len(galleries) == 4
    texts = curate.open_run(small_run).texts(selection="default")
    kept = texts[texts["selected"]]
    web = kept[kept["source"] == "web"]
    pictures = [
        kept["uid"].nunique(),
        texts[~texts["selected"]]["uid"].nunique(),
        texts["uid"].nunique(),
        len(set(kept["uid"]) - set(web["uid"])),
    ]
    assert [html.count("<figure>") for html in galleries] == [min(8, n) for n in pictures]
    assert galleries[2].count("data:image/jpeg;base64,") == 8
    rejected = galleries[1]
    assert 'class="no"' in rejected
    assert any("not_an_image" in text for text in plain)
    assert plain[-1] == f"{{'default': {len(kept)}}}"
