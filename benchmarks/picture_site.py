"""A web site of JPEGs on loopback, in a process of its own, for benchmarks of downloading."""

from __future__ import annotations

import asyncio
import io
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from PIL import Image

PICTURES = 64
TARGET_BYTES = 100_000


def picture(seed: int) -> bytes:
    """Return a JPEG of 800 x 600 pixels and about 100 KB, with something on every scale."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((600, 800, 3))
    for size in (4, 16, 64, 256):
        coarse = rng.integers(0, 256, (size * 3 // 4, size, 3), dtype=np.uint8)
        scaled = Image.fromarray(coarse).resize((800, 600), Image.Resampling.BICUBIC)
        pixels += np.asarray(scaled) / 4
    image = Image.fromarray(pixels.astype(np.uint8))
    best = b""
    for quality in range(50, 98, 3):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        best = out.getvalue()
        if len(best) >= TARGET_BYTES:
            break
    return best


class Answers(asyncio.Protocol):
    """Answers ``/N`` with picture N, keeps connections open, counts them."""

    connections = 0

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Answers.connections += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked += data
        while b"\r\n\r\n" in self._asked:
            head, _, self._asked = self._asked.partition(b"\r\n\r\n")
            number = head.split(b" ", 2)[1][1:]
            assert isinstance(self._transport, asyncio.Transport)
            if number.isdigit():
                self._transport.write(self._answers[int(number) % len(self._answers)])
            else:
                self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if b"connection: close" in head.lower():
                self._transport.close()


def serve(pipe: Connection) -> None:
    """Serve until something is sent; then say how many connections there were."""

    async def main() -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
        bodies = [picture(seed) for seed in range(PICTURES)]
        answers = [head.format(len(body)).encode() + body for body in bodies]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answers(answers), "127.0.0.1", 0, backlog=1024)
        mean = sum(map(len, bodies)) // len(bodies)
        pipe.send((server.sockets[0].getsockname()[1], mean))
        while await loop.run_in_executor(None, pipe.recv):
            pipe.send(Answers.connections)
            Answers.connections = 0

    asyncio.run(main())


@dataclass
class Site:
    """The server, seen from here."""

    port: int
    mean_bytes: int
    pipe: Connection

    def connections(self) -> int:
        """Return the connections since the last call."""
        self.pipe.send(True)
        return int(self.pipe.recv())


@contextmanager
def site() -> Iterator[Site]:
    """Run the server in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    port, mean = here.recv()
    try:
        yield Site(port, mean, here)
    finally:
        here.send(False)
        process.join()
