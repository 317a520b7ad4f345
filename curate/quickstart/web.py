"""A real HTTP server on loopback that answers for many hosts, with real failures.

The addresses in a list are fixed (``http://pictures.test/...``), so rows keep their identity from
run to run; only the port is free. `Web.resolve_map` tells a client where a host really is, as
curl's ``--connect-to`` would::

    with Web(pages, refused=["gone.test"]) as web:
        fetch = Config(resolve=web.resolve_map()).build()

``.test`` is reserved and never resolves (RFC 2606), so nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from curate.quickstart.pages import Page, error_page

LOOPBACK = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Server(ThreadingHTTPServer):
    """Serves pages by virtual host; knows its open connections, to close them all at the end."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = pages
        self.hits: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        super().__init__((LOOPBACK, 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the web."""

    def hang_up(self) -> None:
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD from the server's pages."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "quickstart"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: the run prints what was fetched."""

    def _answer(self, *, with_body: bool) -> None:
        host = self.headers.get("Host", "").partition(":")[0].lower()
        url = f"http://{host}{self.path}"
        with self.server.lock:
            self.server.hits[url] += 1
        page = self.server.pages.get(url) or error_page(404)
        if page.ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._close_now()
            return
        announced = len(page.body) * (2 if page.ending == "cut" else 1)
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(announced))
        for name, value in page.headers:
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(page.body)
        if page.ending == "cut":
            self.close_connection = True

    def _close_now(self) -> None:
        self.close_connection = True
        self.rfile.close()
        self.connection.close()


class Web:
    """A web on loopback: pages by URL, hosts that refuse, everything else is a 404.

    A context manager; the server runs in threads of its own between ``with`` and its end. Several
    may run at once: each takes a free port.

    Args:
        pages: answers by URL, ``http://HOST/PATH`` without a port.
        refused: hosts whose port nobody listens on.
    """

    def __init__(self, pages: Mapping[str, Page], *, refused: Collection[str] = ()) -> None:
        self._pages = dict(pages)
        self._refused = sorted(refused)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._closed_port: socket.socket | None = None

    def __enter__(self) -> Self:
        """Start serving; the port is open when this returns."""
        self._server = _Server(self._pages)
        self._closed_port = socket.socket()
        self._closed_port.bind((LOOPBACK, 0))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="quickstart-web"
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving, hang up on every client and wait for the threads."""
        server, thread, closed_port = self._running()
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
        closed_port.close()
        self._server = self._thread = self._closed_port = None

    @property
    def port(self) -> int:
        """The port that answers, on 127.0.0.1."""
        return int(self._running()[0].server_port)

    @property
    def hits(self) -> Counter[str]:
        """How often each URL was asked for, so far."""
        server = self._running()[0]
        with server.lock:
            return Counter(server.hits)

    def resolve_map(self) -> dict[str, str]:
        """Return where each host really is: ``{"pictures.test:80": "127.0.0.1:40123"}``.

        Hosts that refuse lead to a port that this object holds without listening on it, so nobody
        else can open it meanwhile.
        """
        _, _, closed_port = self._running()
        hosts = {urlsplit(url).hostname or "" for url in self._pages}
        resolve = {f"{host}:80": f"{LOOPBACK}:{self.port}" for host in hosts - set(self._refused)}
        nobody = closed_port.getsockname()[1]
        resolve |= {f"{host}:80": f"{LOOPBACK}:{nobody}" for host in self._refused}
        return dict(sorted(resolve.items()))

    def _running(self) -> tuple[_Server, threading.Thread, socket.socket]:
        if self._server is None or self._thread is None or self._closed_port is None:
            raise RuntimeError("the web is not running: use it as `with Web(pages) as web:`")
        return self._server, self._thread, self._closed_port
