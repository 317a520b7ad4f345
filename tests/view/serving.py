"""The application on a real socket, and requests to it as a browser or a stranger makes them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from curate.core.selection import select
from curate.core.table import CommittedTable
from curate.inspection.index.pairs import Pairs
from curate.inspection.index.search import Search
from curate.inspection.marks import Marks
from curate.stages.selectors.threshold import Config
from curate.view.application import Application
from curate.view.guard import HEADER, Guard


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running application."""

    guard: Guard
    pairs: Pairs

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        plain: bool = False,
        base: str | None = None,
    ) -> Answer:
        """Ask as the page does; ``plain`` sends the given headers alone."""
        path = (self.guard.base if base is None else base) + path
        port = self.guard.port
        own = {"Cookie": f"{self.guard.cookie}={self.guard.token}", HEADER: self.guard.key}
        sent = {**({} if plain else own), **(headers or {})}
        raw = body is None or isinstance(body, bytes | Iterator)
        data = body if raw else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, body)


def pairs_of(table: CommittedTable, *, least: float = 0.45) -> Pairs:
    """Open a table's pairs, with a selection."""
    select(table, Config(column="x_itm", min=least).build(), _settings(least), name="default")
    root = table.store.root
    assert isinstance(root, Path)
    return Pairs(table, Search(table), Marks(root, by="ada"))


def _settings(least: float) -> dict[str, Any]:
    return Config(column="x_itm", min=least).model_dump()


@contextlib.contextmanager
def serving(pairs: Pairs) -> Iterator[Server]:
    """Serve pairs from a thread while the block runs."""
    guard = Guard()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(Application(pairs, guard).build(), access_log=None, shutdown_timeout=1)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        guard.port = runner.addresses[0][1]

    async def stop() -> None:
        await runner.cleanup()
        await loop.shutdown_default_executor()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        yield Server(guard, pairs)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
