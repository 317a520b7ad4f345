"""Starts a loader in an interpreter and reads what it tells, sample by sample."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from curate.core.errors import EngineError

_LOADERS = Path(__file__).parent / "loaders"
_CHUNK = 1 << 20


class LoaderFault(Exception):  # noqa: N818
    """The loader raised, died or hung; the message ends the sentence ``the loader ...``."""


@dataclass(frozen=True, slots=True)
class Started:
    """A loader that was imported.

    Attributes:
        library: its distribution and version.
    """

    library: str


@dataclass(frozen=True, slots=True)
class Began:
    """A shard whose samples follow.

    Attributes:
        shard: its file.
    """

    shard: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A sample as a trainer's loader gave it.

    Attributes:
        key: None where the loader does not tell.
        text: None where the sample has none.
        picture: encoded bytes; None where the loader decodes pictures itself.
    """

    key: str | None
    text: str | None
    picture: bytes | None

    def without_picture(self) -> Seen:
        """Return the same without the picture's bytes."""
        return replace(self, picture=None)


def read_back(
    loader: str, folder: Path, shards: Sequence[str], *, python: Path | None, timeout_s: float
) -> Iterator[Any]:
    """Yield what was started, then every sample.

    Args:
        loader: name of a file in ``loaders``.
        folder: where the shards are.
        shards: files, relative to it.
        python: interpreter; this one when None.
        timeout_s: longest silence, seconds.

    Yields:
        One ``Started``, then for each shard ``Began`` and its samples, ``Seen`` after ``Seen``.

    Raises:
        EngineError: the interpreter cannot be started, or lacks the library.
        LoaderFault: the loader raised, died or hung.
    """
    interpreter = str(python or sys.executable)
    command = [interpreter, "-I", str(_LOADERS / "_child.py"), str(_LOADERS / f"{loader}.py")]
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        told.write(json.dumps(list(shards)).encode())
        told.seek(0)
        try:
            child = subprocess.Popen(
                [*command, str(folder.resolve())],
                stdin=told,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            raise EngineError(f"cannot start {interpreter}: {error.strerror}") from error
        with _ended(child):
            assert child.stdout is not None
            yield from _records(_Pipe(child.stdout, timeout_s), loader, interpreter, errors)


def _records(pipe: _Pipe, loader: str, python: str, errors: IO[bytes]) -> Iterator[Any]:
    while True:
        line = pipe.line()
        if not line:
            errors.seek(0)
            last = errors.read()[-2000:].decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise LoaderFault(f"died: {last or 'it said nothing'}")
        record = json.loads(line)
        if "missing" in record:
            raise EngineError(
                f"{python} cannot import the loader {loader!r} ({record['missing']}): give "
                "--python of an environment that has it; docs/export.md tells how to make one"
            )
        if "library" in record:
            yield Started(record["library"])
        elif "shard" in record:
            yield Began(record["shard"])
        elif "error" in record:
            raise LoaderFault(f"raised {record['error']}"[:1000])
        elif "end" in record:
            return
        else:
            size = record.pop("bytes")
            yield Seen(**record, picture=None if size is None else pipe.exactly(size))


@contextlib.contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind."""
    try:
        yield
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


class _Pipe:
    """A child's output, read with patience for so many seconds of silence."""

    def __init__(self, stream: IO[bytes], timeout_s: float) -> None:
        self._descriptor = stream.fileno()
        self._timeout_s = timeout_s
        self._buffer = bytearray()

    def line(self) -> bytes:
        """Return the next line, empty at the end."""
        while b"\n" not in self._buffer:
            if not self._more():
                return b""
        end = self._buffer.index(b"\n") + 1
        return self._taken(end)

    def exactly(self, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            LoaderFault: it ended before.
        """
        while len(self._buffer) < size:
            if not self._more():
                raise LoaderFault("died in the middle of a picture")
        return self._taken(size)

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> bool:
        until = time.monotonic() + self._timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            if not selector.select(max(0.0, until - time.monotonic())):
                raise LoaderFault(f"gave nothing for {self._timeout_s:g} s: it hangs")
        chunk = os.read(self._descriptor, _CHUNK)
        self._buffer += chunk
        return bool(chunk)
