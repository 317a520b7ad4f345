"""One fetch stage over every behaviour, several times over: each row in its class, no hang."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from curate.core.stage import Mapped
from curate.images import decode
from curate.stages.download._downloads import Fetch
from curate.stages.download.fetch import Config
from tests.farm.behaviour import DECODED, Behaviour
from tests.farm.picture_rows import HASH_LIST
from tests.farm.server import FORBIDDEN, Farm, Script, serve
from tests.farm.table import BEHAVIOURS, PAGE, ends_of, renewed

#: Rows of each behaviour, all in flight at once; more can be asked for.
COPIES = int(os.environ.get("CURATE_FARM_COPIES", "2"))

#: Partitions, one after the other, over one session.
TURNS = int(os.environ.get("CURATE_FARM_TURNS", "2"))


class Names:
    """Name servers of the farm."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.closing = threading.Event()

    def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[str]:
        self.asked[host] += 1
        if host == "slow.names.test":
            self.closing.wait(30)
        if host == "later.names.test":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        rebound = "10.0.0.9" if self.asked[host] % 2 else FORBIDDEN
        known = {
            "inside.names.test": [FORBIDDEN],
            "metadata.names.test": ["169.254.169.254"],
            "several.names.test": [FORBIDDEN, "10.0.0.1", "::1"],
            "rebinding.names.test": [rebound],
            "localhost": ["127.0.0.1", "::1"],
        }
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known[host]


def _pages(farm_ports: dict[str, int]) -> dict[tuple[str, str], Script]:
    """Return every script; ports are filled in when the page is asked for."""

    def filled(script: Script, name: str) -> Script:
        def fill(seen: int) -> Iterator[Any]:
            for step in script(seen):
                if isinstance(step, bytes) and b"Location: " in step:
                    yield _fill(step.decode("latin-1"), name, 0, farm_ports).encode("latin-1")
                else:
                    yield step

        return fill

    pages = {}
    for row in BEHAVIOURS:
        for path, script in {"/x": row.page, **row.pages}.items():
            if script is not None:
                pages[row.name, path] = filled(script, row.name)
    pages["path-utf8", "/%C3%A4%20%E2%98%83"] = pages["plain", "/x"]
    pages["url-injection", "/xX-Evil:%201"] = pages["plain", "/x"]
    return pages


def _fill(text: str, name: str, copy: int, ports: dict[str, int]) -> str:
    for kind, port in ports.items():
        text = text.replace(f"PORT_{kind}", str(port))
    return text.replace("HOST", f"{name}-{copy}.farm.test").replace("COPY", str(copy))


def _resolve(ports: dict[str, int]) -> dict[str, str]:
    resolve = {}
    for copy in range(COPIES):
        for row in BEHAVIOURS:
            if row.port is None:
                continue
            secure = row.urls[0].startswith("https:")
            address = "[::1]" if row.port == "v6" else "127.0.0.1"
            name = f"{row.name}-{copy}.farm.test:{443 if secure else 80}"
            resolve[name] = f"{address}:{ports[row.port]}"
        resolve[f"idna-{copy}.xn--bcher-kva.test:80"] = f"127.0.0.1:{ports['http']}"
    return resolve


def _rows(ports: dict[str, int]) -> tuple[pa.Table, list[tuple[Behaviour, int, str]]]:
    plan = [(row, copy, url) for copy in range(COPIES) for row in BEHAVIOURS for url in row.urls]
    urls = [_fill(url, row.name, copy, ports) for row, copy, url in plan]
    return pa.table({"url": urls, "sha256_of_list": [row.column for row, _, _ in plan]}), plan


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, list[Mapped], float]]:
    folder = tmp_path_factory.mktemp("farm")
    (folder / "listed.txt").write_text("# known\n" + "\n".join(HASH_LIST) + "\n")
    ports: dict[str, int] = {}
    names = Names()
    with serve(_pages(ports), folder) as farm, pytest.MonkeyPatch.context() as patch:
        ports.update(farm.ports)
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        config = Config(
            resolve=_resolve(ports),
            verify_hash=("sha256_of_list", "sha256"),
            hash_list=str(folder / "listed.txt"),
            max_bytes=4_000_000,
            concurrency=1024,
            **{"timeout_s": 4, "connect_timeout_s": 2, "idle_timeout_s": 1.5},
            **{"retries": 1, "backoff_s": 0.01, "host_wait_s": 10, "deadline_s": 120},
        )
        stage = Fetch(config, look_up=names)
        rows, _ = _rows(ports)
        begun = time.monotonic()
        with stage.ready():
            mapped = [stage(rows) for _ in range(TURNS)]
        names.closing.set()
        yield farm, mapped, time.monotonic() - begun


def test_there_are_enough() -> None:
    assert len(BEHAVIOURS) >= 80
    assert len({row.name for row in BEHAVIOURS}) == len(BEHAVIOURS)


def test_every_row_ends_in_its_class(ran: tuple[Farm, list[Mapped], float]) -> None:
    farm, turns, _ = ran
    _, plan = _rows(farm.ports)
    first = turns[0]
    assert first.reasons is not None and first.details is not None
    got: dict[tuple[str, int], list[str]] = {}
    details: dict[str, str | None] = {}
    outcomes = zip(first.reasons.to_pylist(), first.details.to_pylist(), strict=True)
    for (row, copy, _), (reason, detail) in zip(plan, outcomes, strict=True):
        got.setdefault((row.name, copy), []).append(reason or DECODED)
        details[row.name] = detail
    wrong = {
        name: (sorted(ends), details[name])
        for (name, _), ends in got.items()
        for row in [next(row for row in BEHAVIOURS if row.name == name)]
        if sorted(ends) != sorted(ends_of(row))
    }
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


def test_no_request_reaches_the_forbidden_address(ran: tuple[Farm, list[Mapped], float]) -> None:
    farm, _, _ = ran
    with socket.create_connection((FORBIDDEN, farm.ports["forbidden"]), timeout=5):
        pass
    deadline = time.monotonic() + 5
    while farm.forbidden == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert farm.forbidden == 1, "our own visit is counted, and no other"


def test_nothing_hangs(ran: tuple[Farm, list[Mapped], float]) -> None:
    _, turns, seconds = ran
    assert seconds < 60 * TURNS
    for mapped in turns:
        assert mapped.reasons is not None
        assert "deadline" not in mapped.reasons.to_pylist()


def test_pictures_show_what_they_should(ran: tuple[Farm, list[Mapped], float]) -> None:
    farm, turns, _ = ran
    _, plan = _rows(farm.ports)
    seen = 0
    for (row, _, _), body in zip(plan, turns[0].rows["image"].to_pylist(), strict=True):
        if row.shows is None or body is None:
            continue
        width, height, colour = row.shows
        pixels = decode(body)
        assert pixels.shape == (height, width, 3), row.name
        middle = pixels[height // 2, width // 2].astype(int)
        assert abs(middle - colour).max() <= 6, (row.name, middle)
        seen += 1
    assert seen == COPIES * sum(row.shows is not None for row in BEHAVIOURS)


def test_pages_are_asked_as_often_as_they_should(ran: tuple[Farm, list[Mapped], float]) -> None:
    farm, _, _ = ran
    wrong = {}
    for row in BEHAVIOURS:
        if row.asked is None or row.urls != ("http://HOST/x",):
            continue
        count = farm.asked[f"{row.name}-0.farm.test", "/x"]
        if row.name == "status-429-later":  # then the host is left alone
            wanted = 1
        elif row.name in ("busy-once", "busy-odd-date"):
            wanted = row.asked + TURNS - 1
        else:
            wanted = row.asked * TURNS
        if count != wanted:
            wrong[row.name] = (count, wanted)
    assert not wrong


def test_nothing_is_told_that_need_not_be(ran: tuple[Farm, list[Mapped], float]) -> None:
    farm, _, _ = ran
    lines = "\n".join(line for request in farm.headers.values() for line in request)
    assert "Authorization" not in lines
    assert "Cookie" not in lines
    assert "X-Evil" not in [line.partition(":")[0] for line in lines.splitlines()]
    assert "secret" not in lines


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == renewed(text), "python -m tests.farm.table"
