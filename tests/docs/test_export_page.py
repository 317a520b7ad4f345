"""The commands of docs/export.md, run on a small real run; other environments where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from curate.cli import main
from tests.docs.pages import ROOT, split
from tests.docs.small_run import make_small_run
from tests.docs.test_commands import curate_commands

COMMANDS = [
    words
    for block in split(ROOT / "docs" / "export.md")[1]
    if block.language == "sh"
    for words in curate_commands(block)
]
#: Interpreters that the page makes, and where the tests find them.
MADE = {
    "envs/streaming/bin/python": "CURATE_STREAMING_PYTHON",
    "envs/open_clip/bin/python": "CURATE_OPEN_CLIP_PYTHON",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a run where the page has one, and somebody else's shards."""
    folder = tmp_path_factory.mktemp("place")
    make_small_run(folder, folder / "runs" / "quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def run(words: list[str]) -> None:
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 0, answer.output


def test_the_pages_exports_and_their_validation(place: Path) -> None:
    exported = [words for words in COMMANDS if words[0] == "export"]
    assert len(exported) == 4
    for words in exported:
        run(words)
    somebody = place / "somebody" / "elses"
    somebody.mkdir(parents=True)
    (place / "runs/quickstart/shards/webdataset-default").rename(somebody / "shards")
    (somebody / "shards" / "manifest.json").unlink()
    run(exported[0])
    validated = [words for words in COMMANDS if words[0] == "validate" and "--python" not in words]
    assert len(validated) == 4
    for words in validated:
        run(words)


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", MADE)
def test_the_pages_other_environments(interpreter: str, place: Path) -> None:
    if not os.environ.get(MADE[interpreter]):
        pytest.skip(f"{MADE[interpreter]} names no interpreter")
    (words,) = [words for words in COMMANDS if interpreter in words]
    kind = Path(words[1]).name.removesuffix("-default")
    run(["export", "runs/quickstart", "--kind", kind])
    run([os.environ[MADE[interpreter]] if word == interpreter else word for word in words])
