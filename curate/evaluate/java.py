"""Java, for the scorers of captions that are written in it: whether it is there, and asking it.

A program gets a deadline, is ended with its caller (an exception and Ctrl-C included), and speaks
UTF-8 whatever the machine's locale.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from curate.core.errors import CurateError

_LAST_WORDS = 300


class JavaFault(CurateError):  # noqa: N818
    """A Java program is missing something, failed, or took too long."""


@dataclass(frozen=True)
class Java:
    """A Java that runs.

    Attributes:
        command: the program.
        timeout_s: longest life of one program, seconds.
    """

    command: str
    timeout_s: float

    def line(self, arguments: Sequence[str]) -> list[str]:
        """Return a command line that speaks UTF-8."""
        return [self.command, "-Dfile.encoding=UTF-8", *arguments]

    def run(self, arguments: Sequence[str], said: str = "") -> str:
        """Run a program on its input to its end; returns its output.

        Raises:
            JavaFault: it failed or took too long; it is ended first.
        """
        try:
            done = subprocess.run(
                self.line(arguments), input=said.encode(), capture_output=True, check=False,
                timeout=self.timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise JavaFault(_late(self.timeout_s)) from error
        if done.returncode:
            raise JavaFault(_failed(done.stderr.decode(errors="replace")))
        return done.stdout.decode()


class Dialogue:
    """A running Java program that answers a line with a line."""

    def __init__(self, java: Java, arguments: Sequence[str]) -> None:
        self._java = java
        self._line = java.line(arguments)
        self._late = threading.Event()

    def __enter__(self) -> Self:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self._timer = threading.Timer(self._java.timeout_s, self._end_late)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not read yet goes to nobody
                pipe.close()
        self._process.wait()

    def ask(self, line: str) -> str:
        """Send a line; returns the line that comes back.

        Raises:
            JavaFault: the program ended, or was ended at its deadline.
        """
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        return self.listen()

    def listen(self) -> str:
        """Return one more line of an answer that has several.

        Raises:
            JavaFault: the program ended, or was ended at its deadline.
        """
        stdout = self._process.stdout
        assert stdout is not None
        answer = stdout.readline()
        if not answer.endswith(b"\n"):
            self._process.wait()
            if self._late.is_set():
                raise JavaFault(_late(self._java.timeout_s))
            self._errors.seek(0)
            raise JavaFault(_failed(self._errors.read().decode(errors="replace")))
        return answer.decode().strip()

    def _end_late(self) -> None:
        self._late.set()
        self._process.kill()


def find_java(timeout_s: float) -> Java:
    """Return the Java on the path.

    Args:
        timeout_s: longest life of one program, seconds.

    Raises:
        JavaFault: there is none, or one that does not start.
    """
    command = shutil.which("java")
    if command is None:
        raise JavaFault("there is no java on the path: install one (apt install default-jre)")
    try:
        Java(command, timeout_s).run(["-version"])
    except JavaFault as fault:
        raise JavaFault(f"{command} does not start: {fault}") from fault
    return Java(command, timeout_s)


def _late(timeout_s: float) -> str:
    return f"took longer than java_timeout_s, {timeout_s:g} s, and was ended"


def _failed(errors: str) -> str:
    said = errors.strip().splitlines()
    return f"failed: {said[-1][-_LAST_WORDS:] if said else 'it said nothing'}"
