"""The tutorials, run as their reader would: files saved, commands typed, in the pages' order."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from curate.recipe import parse
from tests.docs.pages import ROOT, TUTORIALS, Block, split

#: In the order of docs/tutorials/README.md: each may go on from those before it.
ORDER = [
    *("from_a_list_to_shards", "reselect", "inspect"),
    *("train_with_open_clip", "own_captioner"),
]
PAGES = [ROOT / "docs" / "tutorials" / f"{name}.md" for name in ORDER]
#: ``curate``, also where the tests themselves are started in the background, deaf to Ctrl-C.
_INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from curate.cli import main
main()
"""
ELSEWHERE = "envs/open_clip/bin/"


def test_every_tutorial_is_in_the_list() -> None:
    assert set(TUTORIALS) == {*PAGES, ROOT / "docs" / "tutorials" / "README.md"}
    listed = (ROOT / "docs" / "tutorials" / "README.md").read_text(encoding="utf-8")
    places = [listed.index(f"({page.name})") for page in PAGES]
    assert places == sorted(places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_recipes_are_valid(page: Path, tmp_path: Path) -> None:
    for block in split(page)[1]:
        if block.language == "yaml" and "captioners/colour" not in block.code:
            assert block.file, "a recipe is saved under a name"
            data = yaml.safe_load(block.code)
            for stage in data["stages"]:
                if str(stage.get("model", "")).startswith("runs/"):
                    stage["model"] = "curate-tiny"  # the page has trained it by then
            parse({**data, "output": str(tmp_path)})


class Reader:
    """Somebody who follows the pages in the folder of the sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir()
        (folder / "pipelines").symlink_to(ROOT / "pipelines")
        path = os.pathsep.join([str(self.site), str(ROOT)])
        self.env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "120"}

    def follow(self, block: Block) -> None:
        """Do what a block is there for."""
        if block.language == "toml":
            self._install(block.code)
        elif block.file is not None:
            module = block.file == "colour_captioner.py"
            (self.site if module else self.folder).joinpath(block.file).write_text(block.code)
            if block.file.endswith(".py") and not module:
                self._do([sys.executable, block.file])
        elif block.language == "python":
            self._do([sys.executable, "-c", block.code])
        elif block.language == "sh":
            for line in block.code.replace("\\\n", " ").splitlines():
                self._type(line)

    def _type(self, line: str) -> None:
        interpreter = os.environ.get("CURATE_OPEN_CLIP_PYTHON")
        if line.startswith(("python3.11 -m venv", f"{ELSEWHERE}pip")):
            return  # what makes the environment that the variable names
        if ELSEWHERE in line:
            if not interpreter or "open_clip_train" in line:  # minutes a step without a GPU
                return
            line = line.replace(f"{ELSEWHERE}python", interpreter)
        if line.startswith("curate view") and "--export" not in line:
            self._open(shlex.split(line)[1:])
            return
        curate = str(Path(sys.executable).with_name("curate"))
        self._do(["bash", "-c", line.replace("curate ", f"{curate} ", 1)])

    def _open(self, words: list[str]) -> None:
        """Open the application, ask it for its page, and end it as Ctrl-C does."""
        command = [sys.executable, "-c", _INTERRUPTIBLE, *words]
        with subprocess.Popen(
            [*command, "--no-browser", "--json"],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                said = json.loads(process.stdout.readline())
                browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                with browser.open(said["address"], timeout=60) as answer:
                    assert b"<title>" in answer.read()
            finally:
                process.send_signal(signal.SIGINT)
        assert process.returncode == 0

    def _install(self, entry_points: str) -> None:
        meta = self.site / "own_captioner-1.0.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: own_captioner\nVersion: 1.0\n")
        entries = entry_points.replace("[project.entry-points.", "[").replace('"', "")
        (meta / "entry_points.txt").write_text(entries)

    def _do(self, words: list[str]) -> None:
        done = subprocess.run(  # noqa: PLW1510 the assertion says more
            words, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{words[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorials_from_end_to_end(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for page in PAGES:
        for block in split(page)[1]:
            reader.follow(block)
    runs = tmp_path / "runs"
    assert (runs / "my_list" / "report.html").exists()
    assert (runs / "my_list" / "shards" / "webdataset-loose" / "manifest.json").exists()
    assert (tmp_path / "alike.html").stat().st_size > 10_000
    assert (tmp_path / "my_list.html").exists()
    assert (runs / "colours" / "selections" / "default" / "selection.json").exists()
