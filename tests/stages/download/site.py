"""A web site on loopback that answers with raw bytes, so that it can misbehave in every way."""

from __future__ import annotations

import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answerer = Callable[[int], bytes]


def response(
    body: bytes = b"", *, status: str = "200 OK", length: int | None = None, **headers: str
) -> bytes:
    """Return a whole HTTP/1.1 response; header names have underscores for dashes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


@dataclass
class Site:
    """What the server answers, and what it was asked.

    Attributes:
        port: on 127.0.0.1.
        pages: path to bytes, or to a function of how often the path was asked before.
        hold_s: seconds before every answer.
        asked: number of requests by path.
        headers: last request's header lines by path.
        most: most requests that were open at once.
    """

    port: int = 0
    pages: dict[str, bytes | Answerer] = field(default_factory=dict)
    hold_s: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    headers: dict[str, list[str]] = field(default_factory=dict)
    most: int = 0
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, headers: list[str]) -> bytes:
        """Return the raw answer for a path."""
        with self._lock:
            seen = self.asked[path]
            self.asked[path] += 1
            self.headers[path] = headers
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            time.sleep(self.hold_s)
            page = self.pages.get(path, response(b"gone", status="404 Not Found"))
            return page(seen) if callable(page) else page
        finally:
            with self._lock:
                self._open -= 1

    def url(self, path: str, host: str = "pictures.test") -> str:
        """Return a URL of this site under a name that only the resolve map knows."""
        return f"http://{host}{path}"

    @property
    def resolve(self) -> dict[str, str]:
        """The fetch stage's ``resolve`` for the names used in tests."""
        names = ("pictures.test", "other.test")
        return {f"{name}:80": f"127.0.0.1:{self.port}" for name in names}


@contextmanager
def serve() -> Iterator[Site]:
    """Run a site."""
    site = Site()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = []
            while (line := self.rfile.readline().strip().decode("latin-1")) != "":
                lines.append(line)
            if lines:
                self.wfile.write(site.answer(lines[0].split()[1], lines[1:]))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: a client that hangs up is part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
