"""YAML with the line of every key, so that an error can say where."""

from __future__ import annotations

from typing import Any

import yaml

from curate.core.errors import Problem

Path = tuple[str | int, ...]

#: Anchors of anchors unfold to any size: a recipe of a kilobyte could fill the memory.
MAX_VALUES = 100_000


class Lines:
    """Lines of a document's keys, by path; a path without a line has its parent's."""

    def __init__(self) -> None:
        self._lines: dict[Path, int] = {}

    def __setitem__(self, path: Path, line: int) -> None:
        self._lines[path] = line

    def __getitem__(self, path: Path) -> int | None:
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)


def load(text: str) -> tuple[Any, Lines, list[Problem]]:
    """Parse YAML.

    Returns:
        The plain data (None when it cannot be parsed), the lines, and the problems: syntax errors
        and repeated keys. Anchors and merge keys work as in YAML 1.1; no tags build objects.
    """
    lines = Lines()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        problems = _unfolding(node)
        if problems:
            return None, lines, problems
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return (
            None,
            lines,
            [Problem(f"not valid YAML: {said}", line=mark.line + 1 if mark else None)],
        )
    except yaml.YAMLError as error:
        return None, lines, [Problem(f"not valid YAML: {error}")]
    except RecursionError:
        return None, lines, [Problem("nested too deeply")]
    if node is not None:
        _walk(node, (), lines, problems)
    return data, lines, problems


def _unfolding(root: yaml.Node | None) -> list[Problem]:
    """Return what is wrong with a document's anchors: one holds itself, or they unfold to much."""
    counts: dict[int, int] = {}
    above: set[int] = set()

    def count(node: yaml.Node, name: str) -> int | Problem:
        if id(node) in above:
            return Problem("an anchor that holds itself", name, node.start_mark.line + 1)
        if id(node) not in counts:
            above.add(id(node))
            total = 1
            for key, value in _children(node):
                found = count(value, key or name)
                if isinstance(found, Problem):
                    return found
                total += found
            above.discard(id(node))
            counts[id(node)] = total
        return counts[id(node)]

    found = 0 if root is None else count(root, "")
    if isinstance(found, Problem):
        return [found]
    if found > MAX_VALUES:
        return [
            Problem(f"its anchors unfold to more than {MAX_VALUES:,} values", hint="write them out")
        ]
    return []


def _children(node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return [(str(key.value), value) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [("", value) for value in node.value]
    return []


def _walk(node: yaml.Node, path: Path, lines: Lines, problems: list[Problem]) -> None:
    if path not in lines._lines:
        lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen:
                problems.append(Problem("the key stands twice", dotted((*path, name)), line))
            seen.add(name)
            lines[(*path, name)] = line
            _walk(value, (*path, name), lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), lines, problems)


def dotted(path: Path) -> str:
    """Return ``stages[2].min_side`` for a path.

    Example:
        >>> dotted(("stages", 2, "min_side"))
        'stages[2].min_side'
    """
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f".{part}" if out else part
    return out
