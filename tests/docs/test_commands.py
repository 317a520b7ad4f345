"""Every command in the documentation exists, with its options; every link leads somewhere."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from curate.cli import main
from tests.docs.pages import PAGES, ROOT, Block, split

SHELL = {"sh", "bash", "console"}
#: Recipes that a page uses as an example of the reader's own.
EXAMPLE_RECIPES = {"recipe.yaml", "RECIPE"}


def curate_commands(block: Block) -> Iterator[list[str]]:
    """Yield the words after ``curate`` of every command line of a shell block."""
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        for place, word in enumerate(words):
            runs = place == 0 or words[place - 1] in ("--", "&&", ";", "|")
            if runs and Path(word).name == "curate":
                yield list(itertools.takewhile(_of_the_command, words[place + 1 :]))


def _of_the_command(word: str) -> bool:
    return word not in (">", "|", "&&", ";")


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield commands in backticks of the running text: ``curate plan RECIPE``."""
    for section in split(page)[0]:
        for code in re.findall(r"`([^`]+)`", section.text):
            words = shlex.split(code) if code.startswith("curate ") else []
            if len(words) > 1:
                yield words[1:]


#: Files that a page tells its reader to save.
OWN_FILES = {block.file for page in PAGES for block in split(page)[1]} - {None}
SHELL_BLOCKS = [block for page in PAGES for block in split(page)[1] if block.language in SHELL]
COMMANDS = [(block.page.name, words) for block in SHELL_BLOCKS for words in curate_commands(block)]
INLINE = [(page.name, words) for page in PAGES for words in inline_commands(page)]


def _id(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def command_of(words: list[str]) -> click.Command:
    assert words[0] in main.commands, f"there is no 'curate {words[0]}'"
    return main.commands[words[0]]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=_id)
def test_commands_parse(page: str, words: list[str]) -> None:
    if words[0].startswith("-"):
        main.make_context("curate", words, resilient_parsing=True)
        return
    command = command_of(words)
    context = command.make_context(words[0], words[1:], resilient_parsing=False)
    recipe = context.params.get("recipe")
    if recipe is not None and str(recipe) not in EXAMPLE_RECIPES | OWN_FILES:
        assert (ROOT / recipe).is_file(), f"{page} names {recipe}"


@pytest.mark.parametrize(("page", "words"), INLINE, ids=_id)
def test_commands_in_running_text_exist(page: str, words: list[str]) -> None:
    if words[0].startswith("-"):
        return
    command = command_of(words)
    known = {option for param in command.params for option in param.opts}
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{page}: {word}"


def test_the_pages_show_every_command() -> None:
    shown = {words[0] for _, words in COMMANDS}
    assert set(main.commands) <= shown


@pytest.mark.parametrize(
    "block",
    [b for b in SHELL_BLOCKS if re.search(r"^\$? ?make ", b.code, re.MULTILINE)],
    ids=lambda block: block.page.name,
)
def test_make_targets_exist(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^(?:\$ )?make ((?:[a-z]+ ?)+)", block.code, re.MULTILINE):
        for name in target.split():
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for section in split(page)[0]:
        for target in re.findall(r"\]\(([^)]+)\)", section.text):
            if target.startswith("http"):
                continue
            name, _, fragment = target.partition("#")
            other = (page.parent / name) if name else page
            assert other.exists(), f"{page.name} links to {target}"
            if fragment:
                anchors = {section.anchor for section in split(other)[0]}
                assert fragment in anchors, f"{page.name} links to {target}"


def test_whole_recipes_in_the_pages_are_valid_yaml() -> None:
    blocks = [b for page in PAGES for b in split(page)[1] if b.language == "yaml"]
    assert blocks
    for block in blocks:
        assert isinstance(yaml.safe_load(block.code), dict), block.page.name


def test_a_command_that_is_not_there_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="there is no 'curate conjure'"):
        command_of(["conjure", "recipe.yaml"])
    with pytest.raises(click.NoSuchOption):
        main.commands["run"].make_context("run", ["recipe.yaml", "--fast"])
