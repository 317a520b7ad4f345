"""A real S3 server on loopback that keeps its objects in memory and counts what it is asked."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

BUCKET = "bucket"


class S3Server:
    """The server; ``requests`` grows by (method, path with query, status) of every request."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.requests: list[tuple[str, str, int]] = []
        self.refuse: Callable[[str, str], int | None] = lambda method, path: None

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ.get("QUERY_STRING"):
            path += f"?{environ['QUERY_STRING']}"
        status = self.refuse(environ["REQUEST_METHOD"], path)
        if status is not None:
            self.requests.append((environ["REQUEST_METHOD"], path, status))
            start(f"{status} Refused", [("Content-Length", "0")])
            return [b""]

        def started(status: str, *rest: Any) -> Any:
            self.requests.append(
                (environ["REQUEST_METHOD"], path, int(status.split(maxsplit=1)[0]))
            )
            return start(status, *rest)

        answer: Iterable[bytes] = self._app(environ, started)
        return answer

    def count(self, since: int = 0) -> Counter[str]:
        """Return how many requests of each kind there were."""
        return Counter(_kind(method, path) for method, path, _ in self.requests[since:])

    @contextlib.contextmanager
    def running(self) -> Iterator[S3Server]:
        """Serve while the block runs, with an environment in which it is *the* S3."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        try:
            with mock.patch.dict(os.environ, environment):
                yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Quiet(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Say nothing."""


def _kind(method: str, path: str) -> str:
    split = urlsplit(path)
    if method == "GET" and "list-type" in split.query:
        return "LIST"
    return method


def fresh_place() -> str:
    """Return a folder of the bucket that no test has used."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}/run"
