"""Talking to a program, with a small one in the place of Java."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.evaluate.java import Dialogue, Java, JavaFault

ECHO = """#!/usr/bin/env python3
import sys
assert sys.argv[1] == "-Dfile.encoding=UTF-8"
for line in sys.stdin:
    if line.startswith("die"):
        sys.exit("out of memory")
    print(line.strip()[::-1], flush=True)
"""
SLEEP = "#!/bin/sh\nexec sleep 60\n"


def program(folder: Path, text: str, *, timeout_s: float = 60) -> Java:
    path = folder / "java"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return Java(str(path), timeout_s)


def test_a_line_is_answered_by_a_line(tmp_path: Path) -> None:
    with Dialogue(program(tmp_path, ECHO), []) as talk:
        assert [talk.ask("one"), talk.ask("zwölf")] == ["eno", "flöwz"]


def test_what_a_program_says_as_it_ends_is_the_reason(tmp_path: Path) -> None:
    with Dialogue(program(tmp_path, ECHO), []) as talk:
        talk.ask("one")
        with pytest.raises(JavaFault, match="failed: out of memory"):
            talk.ask("die")
        with pytest.raises(JavaFault, match="failed: out of memory"):
            talk.ask("again")


def test_a_program_ends_with_its_caller(tmp_path: Path) -> None:
    talk = Dialogue(program(tmp_path, SLEEP), [])
    with pytest.raises(KeyboardInterrupt), talk:
        assert talk._process.poll() is None
        raise KeyboardInterrupt
    assert talk._process.poll() is not None


def test_a_program_that_ends_within_an_answer_is_a_fault(tmp_path: Path) -> None:
    with Dialogue(program(tmp_path, ECHO), []) as talk:
        talk.ask("one")
        talk._process.kill()
        with pytest.raises(JavaFault, match="failed: it said nothing"):
            talk.listen()


def test_a_program_beyond_its_deadline_is_ended(tmp_path: Path) -> None:
    java = program(tmp_path, SLEEP, timeout_s=0.2)
    with Dialogue(java, []) as talk, pytest.raises(JavaFault, match="longer than java_timeout_s"):
        talk.ask("hello")
    with pytest.raises(JavaFault, match="longer than java_timeout_s"):
        java.run([])
