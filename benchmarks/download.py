"""`curate run` against the `img2dataset` command: the same list, server, pictures and output.

    python benchmarks/download.py            # about half an hour on two cores
    python benchmarks/download.py --quick    # a smoke test of the benchmark itself

Both commands download JPEGs of 800 x 600 pixels and about 100 KB from a server on loopback, resize
them (shorter side to 256, then to 384) and write Parquet, with one process and as many requests in
flight. They take turns in one run, since CPU seconds for a picture drift by a third from run to
run. Of each, a run over a short list is taken off from a run over a long one, which leaves the
work and not the start-up. The server is a process of its own and not counted. The bytes of the
pictures both commands wrote are compared.

Last, the peak memory of `curate run` over the list and over one ten times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

BIN = Path(sys.executable).parent
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


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: on the clock.
        cpu_s: of all its processes.
        peak_mib: of its largest process.
    """

    seconds: float
    cpu_s: float
    peak_mib: float


def run(command: list[str]) -> Cost:
    """Run a command to its end, without its output."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read().decode(errors='replace')[-4000:]}")
    seconds = time.perf_counter() - begun
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def write_list(path: Path, port: int, count: int) -> None:
    """Write a list of pictures."""
    numbers = range(count)
    urls = [f"http://127.0.0.1:{port}/{number}" for number in numbers]
    pq.write_table(pa.table({"url": urls, "text": [f"picture {n}" for n in numbers]}), path)


def img2dataset(urls: Path, output: Path, size: int, at_once: int) -> list[str]:
    """Return the command of img2dataset."""
    options: Mapping[str, object] = {
        **{"url_list": urls, "input_format": "parquet", "url_col": "url", "caption_col": "text"},
        **{"output_folder": output, "output_format": "parquet", "image_size": size},
        **{"resize_mode": "keep_ratio", "processes_count": 1, "thread_count": at_once},
        **{"number_sample_per_shard": 1000, "extract_exif": False, "enable_wandb": False},
    }
    return [str(BIN / "img2dataset"), *(f"--{name}={value}" for name, value in options.items())]


def curate(urls: Path, output: Path, size: int, at_once: int) -> list[str]:
    """Write a recipe and return the command of curate."""
    recipe = output.with_suffix(".yaml")
    recipe.write_text(
        f"""name: download
source: {{kind: url_list, path: {urls}, partition_rows: 1000}}
stages:
  - {{kind: fetch, resize: {size}, resize_mode: keep_ratio, allow_hosts: [127.0.0.1],
     concurrency: {at_once}, per_host: {at_once}}}
output: {output}
engine: {{kind: local}}
"""
    )
    return [str(BIN / "curate"), "run", str(recipe)]


COMMANDS = {"curate": curate, "img2dataset": img2dataset}


def pictures_of(tool: str, output: Path) -> dict[str, bytes]:
    """Return what a command wrote, by URL."""
    column = "image" if tool == "curate" else "jpg"
    found: dict[str, bytes] = {}
    for path in sorted(output.rglob("*.parquet")):
        table = pq.ParquetFile(path)
        if {"url", column} <= set(table.schema_arrow.names):
            rows = table.read(["url", column]).to_pylist()
            found |= {row["url"]: row[column] for row in rows if row[column] is not None}
    if not found and tool == "curate":
        found = _joined(output)
    return found


def _joined(output: Path) -> dict[str, bytes]:
    """Return curate's pictures by URL where the two lie in different files."""
    import curate as package

    table = package.open_run(output).rows(columns=["url", "image"])
    return dict(zip(table["url"], table["image"], strict=True))


def turn(folder: Path, server: Site, tool: str, size: int, count: int, at_once: int) -> Cost:
    """Run a command over a list of so many pictures; its output lies in ``folder/TOOL``."""
    urls, output = folder / f"{count}.parquet", folder / tool
    if not urls.exists():
        write_list(urls, server.port, count)
    shutil.rmtree(output, ignore_errors=True)
    return run(COMMANDS[tool](urls, output, size, at_once))


def compare(folder: Path, count: int) -> str:
    """Return how the two outputs compare."""
    ours, theirs = (pictures_of(tool, folder / tool) for tool in COMMANDS)
    equal = sum(theirs.get(url) == body for url, body in ours.items())
    return f"{len(ours)} and {len(theirs)} of {count} pictures written, {equal} equal byte for byte"


def race(folder: Path, server: Site, size: int, options: argparse.Namespace) -> None:
    """Let the commands take turns at one size and print the medians."""
    per: dict[str, list[tuple[float, float]]] = {tool: [] for tool in COMMANDS}
    connections: dict[str, int] = {}
    most, few = options.pictures, options.few
    for number in range(options.turns):
        tools = list(COMMANDS) if number % 2 == 0 else list(reversed(COMMANDS))
        for tool in tools:
            start = turn(folder, server, tool, size, few, options.at_once)
            server.connections()
            whole = turn(folder, server, tool, size, most, options.at_once)
            connections[tool] = server.connections()
            cpu_ms = 1000 * (whole.cpu_s - start.cpu_s) / (most - few)
            rate = (most - few) / (whole.seconds - start.seconds)
            per[tool].append((cpu_ms, rate))
            print(
                f"  {size} {tool}: {cpu_ms:.2f} ms of CPU and {1000 / rate:.2f} ms a picture; "
                f"start {start.cpu_s:.1f} s of CPU, {connections[tool]} connections",
                flush=True,
            )
    print(f"  {compare(folder, most)}")
    cpu, rate = (
        {tool: statistics.median(one[i] for one in turns) for tool, turns in per.items()}
        for i in (0, 1)
    )
    for tool in COMMANDS:
        print(f"{size:>5} {tool:<12} {cpu[tool]:>8.2f} ms CPU {rate[tool]:>8.1f} pictures/s")
    print(
        f"{size:>5} curate is {cpu['img2dataset'] / cpu['curate']:.2f} times better in CPU, "
        f"{rate['curate'] / rate['img2dataset']:.2f} times in pictures a second"
    )


def memory(folder: Path, server: Site, options: argparse.Namespace) -> None:
    """Print the peak memory over a list and over one ten times as long."""
    once, ten = (
        turn(folder, server, "curate", 256, count, options.at_once).peak_mib
        for count in (options.pictures, 10 * options.pictures)
    )
    print(f"peak memory: {once:.0f} MiB, with ten times the list {ten:.0f} MiB ({ten / once:.2f})")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=4000, help="of the long list")
    parser.add_argument("--few", type=int, default=100, help="of the short list")
    parser.add_argument("--turns", type=int, default=5, help="of each command at each size")
    parser.add_argument("--at-once", type=int, default=64, help="requests in flight")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384])
    parser.add_argument("--no-memory", action="store_true", help="leave the last part out")
    parser.add_argument("--quick", action="store_true", help="300 pictures, one turn, one size")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.few, options.turns, options.sizes = 300, 20, 1, [256]
    with tempfile.TemporaryDirectory(prefix="curate-download-") as name, site() as server:
        print(f"pictures of {server.mean_bytes} bytes", flush=True)
        for size in options.sizes:
            race(Path(name), server, size, options)
        if not options.no_memory:
            memory(Path(name), server, options)


if __name__ == "__main__":
    main()
