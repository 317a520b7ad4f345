"""A web on loopback that misbehaves by script: HTTP, HTTPS, IPv6, and an address never to be asked.

A script is a function of how often the page was asked before; it yields what is done on the
connection: bytes are sent, a number of seconds is waited, ``RESET`` cuts the connection off.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.farm import certificates

RESET = object()
Step = bytes | float | object
Script = Callable[[int], Iterable[Step]]

Speaker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: Where nobody may ever go; stands for the metadata service of a cloud.
FORBIDDEN = "127.0.0.2"


@dataclass
class Farm:
    """What serves, and what was asked.

    Attributes:
        pages: script by (host without its copy's number, path without query).
        ports: by kind: ``http``, ``v6``, ``closed``, ``silent``, ``forbidden``, ``noise``,
            ``hangup``, ``old`` and the kinds of ``certificates.KINDS``.
        asked: requests by (host, path with query).
        headers: header lines of the last request by host.
        forbidden: connections made to the forbidden address.
        writers: connections that are open.
    """

    pages: Mapping[tuple[str, str], Script]
    ports: dict[str, int] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    headers: dict[str, list[str]] = field(default_factory=dict)
    forbidden: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak on one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            path = request[0].split(" ")[1]
            host = next(x[6:] for x in request if x.lower().startswith("host: "))
            host = host.partition(":")[0].rstrip(".")
            seen = self.asked[host, path]
            self.asked[host, path] += 1
            self.headers[host] = request
            plain = (host.partition(".")[0].rpartition("-")[0], path.partition("?")[0])
            await self._play(self.pages.get(plain, _gone)(seen), writer)

    async def _play(self, steps: Iterable[Step], writer: asyncio.StreamWriter) -> None:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                cut = writer.get_extra_info("socket")
                cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return

    async def trespass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count a visitor of the forbidden address."""
        self.forbidden += 1

    async def start(self, folder: Path) -> list[asyncio.Server]:
        """Listen on every port; certificates lie in the folder."""
        servers = [await self._listen("http"), await self._listen("v6", host="::1")]
        for kind, at in _RAW.items():
            servers.append(await self._listen(kind, at))
        servers.append(await self._listen("forbidden", self.trespass, host=FORBIDDEN))
        for kind in certificates.KINDS:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / f"{kind}.pem")
            servers.append(await self._listen(kind, context=context))
        return servers

    async def _listen(
        self,
        kind: str,
        at: Speaker | None = None,
        *,
        host: str = "127.0.0.1",
        context: ssl.SSLContext | None = None,
    ) -> asyncio.Server:
        speak = at or self.answer

        async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.add(writer)
            with contextlib.suppress(OSError):
                await speak(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.writers.discard(writer)

        server = await asyncio.start_server(visited, host, ssl=context, backlog=1024)
        self.ports[kind] = server.sockets[0].getsockname()[1]
        return server


def _gone(seen: int) -> Iterator[Step]:
    yield b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def _noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + bytes(200))
        await writer.drain()
    writer.close()


async def _alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a handshake as a server of old protocols does: fatal, protocol version (70)."""
    with contextlib.suppress(OSError):
        await reader.read(1)
        writer.write(b"\x15\x03\x03\x00\x02\x02\x46")
        await writer.drain()
    writer.close()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


_RAW = {"noise": _noise, "hangup": _hang_up, "silent": _silent, "old": _alert}


@contextlib.contextmanager
def serve(pages: Mapping[tuple[str, str], Script], folder: Path) -> Iterator[Farm]:
    """Run a farm in a thread; the folder takes its certificates and ``ca.pem``."""
    certificates.write(folder)
    farm = Farm(pages)
    loop = asyncio.new_event_loop()
    # Strangers that hang up are the point of the farm: nothing to report.
    loop.set_exception_handler(lambda loop, context: None)
    thread = threading.Thread(target=loop.run_forever, name="farm", daemon=True)
    thread.start()
    servers = asyncio.run_coroutine_threadsafe(farm.start(folder), loop).result(30)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        farm.ports["closed"] = closed.getsockname()[1]
        try:
            yield farm
        finally:
            asyncio.run_coroutine_threadsafe(_stop(farm, servers), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _stop(farm: Farm, servers: list[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    for writer in list(farm.writers):
        writer.transport.abort()
    await asyncio.sleep(0.05)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.05)
