"""`curate run` against the `img2dataset` command: the same list, server, pictures and output.

    python benchmarks/download.py            # about half an hour on two quiet cores
    python benchmarks/download.py --quick    # two minutes: a smoke test, no figure to quote

Both commands download JPEGs of 800 x 600 pixels and about 100 KB from a server on loopback, resize
them (shorter side to 256, then to 384) and write Parquet, with one process and as many requests in
flight. They take turns in one run, since CPU seconds for a picture drift by a third from run to
run; the ratio is taken turn by turn. Of each, a run over one partition is taken off from a run
over several, which leaves the work and not the start-up. CPU is that of the command with all the
processes it starts; the server is a process of its own and not counted. The pictures both commands
wrote have to be equal byte for byte.

img2dataset runs with its defaults (SHA-256 of every picture among them) but for two that favour
it: no EXIF is read, no new release of a dependency looked for. curate computes a perceptual hash
besides, obeys robots.txt and flushes every file to disk.

Last, the peak memory of both over a list and over one ten times as long.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from picture_site import Site, site

from curate.images.area import COMPILED

BIN = Path(sys.executable).parent


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
    quiet = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=quiet)
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


def compare(folder: Path, count: int) -> None:
    """Leave with an error unless both commands wrote the same pictures."""
    ours, theirs = (pictures_of(tool, folder / tool) for tool in COMMANDS)
    equal = sum(theirs.get(url) == body for url, body in ours.items())
    said = f"{len(ours)} and {len(theirs)} of {count} pictures, {equal} equal byte for byte"
    print(f"  {said}", flush=True)
    if not len(ours) == len(theirs) == count == equal:
        sys.exit(f"the outputs differ: {said}")


@dataclass(frozen=True)
class Turn:
    """What one picture cost a command in one turn.

    Attributes:
        cpu_ms: CPU, milliseconds.
        wall_ms: on the clock, milliseconds.
    """

    cpu_ms: float
    wall_ms: float


def one_turn(folder: Path, server: Site, tool: str, size: int, options: argparse.Namespace) -> Turn:
    """Run a command over the short and the long list and print what a picture cost."""
    most, few = options.pictures, options.few
    short = turn(folder, server, tool, size, few, options.at_once)
    server.connections()
    whole = turn(folder, server, tool, size, most, options.at_once)
    more = most - few
    cost = Turn(
        1000 * (whole.cpu_s - short.cpu_s) / more, 1000 * (whole.seconds - short.seconds) / more
    )
    print(
        f"  {size} {tool}: {cost.cpu_ms:.2f} ms of CPU and {cost.wall_ms:.2f} ms a picture; "
        f"the short list {short.cpu_s:.1f} s of CPU; {server.connections()} connections",
        flush=True,
    )
    return cost


def ratios(values: Sequence[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def race(folder: Path, server: Site, size: int, options: argparse.Namespace) -> None:
    """Let the commands take turns at one size and print medians and ratios."""
    turns: dict[str, list[Turn]] = {tool: [] for tool in COMMANDS}
    for number in range(options.turns):
        for tool in list(COMMANDS) if number % 2 == 0 else list(reversed(COMMANDS)):
            turns[tool].append(one_turn(folder, server, tool, size, options))
    compare(folder, options.pictures)
    for tool, costs in turns.items():
        cpu_ms = statistics.median(cost.cpu_ms for cost in costs)
        rate = 1000 / statistics.median(cost.wall_ms for cost in costs)
        print(f"{size:>5} {tool:<12} {cpu_ms:>8.2f} ms CPU {rate:>8.1f} pictures/s")
    pairs = list(zip(turns["img2dataset"], turns["curate"], strict=True))
    cpu = ratios([theirs.cpu_ms / ours.cpu_ms for theirs, ours in pairs])
    rate_ratio = ratios([theirs.wall_ms / ours.wall_ms for theirs, ours in pairs])
    print(f"{size:>5} curate is better {cpu} times in CPU, {rate_ratio} times in pictures a second")


def memory(folder: Path, server: Site, options: argparse.Namespace) -> None:
    """Print the peak memory of both commands over a list and over one ten times as long."""
    for tool in COMMANDS:
        once, ten = (
            turn(folder, server, tool, 256, count, options.at_once).peak_mib
            for count in (options.few, 10 * options.few)
        )
        print(
            f"{tool:<12} peak memory {once:.0f} MiB at {options.few} pictures, "
            f"{ten:.0f} MiB at {10 * options.few} ({ten / once:.2f})",
            flush=True,
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=4000, help="of the long list")
    parser.add_argument("--few", type=int, default=1000, help="of the short list")
    parser.add_argument("--turns", type=int, default=5, help="of each command at each size")
    parser.add_argument("--at-once", type=int, default=64, help="requests in flight")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384])
    parser.add_argument("--no-memory", action="store_true", help="leave the last part out")
    parser.add_argument("--quick", action="store_true", help="300 pictures, one turn, one size")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.few, options.turns, options.sizes = 300, 50, 1, [256]
    if options.few >= options.pictures:
        parser.error(f"--few {options.few} is not less than --pictures {options.pictures}")
    with tempfile.TemporaryDirectory(prefix="curate-download-") as name, site() as server:
        loop = "compiled" if COMPILED else "OpenCV's (the compiled loop is not installed)"
        print(f"pictures of {server.mean_bytes} bytes; shrinking: {loop}", flush=True)
        for size in options.sizes:
            race(Path(name), server, size, options)
        if not options.no_memory:
            memory(Path(name), server, options)


if __name__ == "__main__":
    main()
