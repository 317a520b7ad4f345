"""What a fetch keeps from one partition to the next, and how it treats hosts."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.core.stage import Mapped
from curate.stages.download._addresses import PrivateAddress, PublicResolver
from curate.stages.download._downloads import Fetch
from curate.stages.download.fetch import Config
from curate.stages.download.load import Config as LoadConfig
from tests.images.pictures import jpeg
from tests.stages.download.site import Site, response, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@contextmanager
def _stage(site: Site, **options: Any) -> Iterator[Fetch]:
    base = {"resolve": site.resolve, "backoff_s": 0.01, "retries": 0, "robots_txt": False}
    stage = Config(**{**base, **options}).build()
    with stage.ready():
        yield stage


def _reasons(mapped: Mapped) -> list[str | None]:
    assert mapped.reasons is not None
    reasons: list[str | None] = mapped.reasons.to_pylist()
    return reasons


def _urls(site: Site, count: int, path: str = "/") -> pa.Table:
    return pa.table({"url": [site.url(f"{path}{i}") for i in range(count)]})


def test_a_dead_host_costs_a_few_rows_and_comes_back(site: Site) -> None:
    with _stage(site, host_failures=3, host_pause_s=0.3, per_host=1) as stage:
        site.pages = {f"/{i}": response(status="502 Bad Gateway") for i in range(10)}
        assert _reasons(stage(_urls(site, 10))) == ["http_5xx"] * 3 + ["host_down"] * 7
        assert _reasons(stage(_urls(site, 2))) == ["host_down"] * 2
        time.sleep(0.35)
        site.pages = {f"/{i}": response(jpeg(i)) for i in range(10)}
        assert _reasons(stage(_urls(site, 10))) == [None] * 10


def test_a_short_retry_after_is_waited_for(site: Site) -> None:
    busy = response(status="503 Busy", Retry_After="1")
    site.pages["/0"] = lambda seen: response(jpeg(1)) if seen else busy
    site.pages["/1"] = response(jpeg(2))
    begun = time.monotonic()
    with _stage(site, retries=1, per_host=1) as stage:
        assert _reasons(stage(_urls(site, 2))) == [None, None]
    assert time.monotonic() - begun >= 1


def test_after_a_long_retry_after_the_host_is_left_alone(site: Site) -> None:
    site.pages["/0"] = response(status="429 Slow", Retry_After="600")
    with _stage(site, retries=3, per_host=1) as stage:
        assert _reasons(stage(_urls(site, 3))) == ["http_429", "host_down", "host_down"]
    assert sum(site.asked.values()) == 1


def test_requests_per_second(site: Site) -> None:
    site.pages = {f"/{i}": response(jpeg(i)) for i in range(4)}
    begun = time.monotonic()
    with _stage(site, requests_per_s=10) as stage:
        assert _reasons(stage(_urls(site, 4))) == [None] * 4
    assert time.monotonic() - begun >= 0.3


def test_robots_txt_is_asked_once_and_addressed_to_us(site: Site) -> None:
    text = b"User-agent: *\nDisallow: /\n\nUser-agent: mybot\nDisallow: /1\n"
    site.pages = {"/robots.txt": response(text), "/0": response(jpeg(0)), "/1": response(jpeg(1))}
    with _stage(site, robots_txt=True, user_agent_token="MyBot") as stage:
        first, second = stage(_urls(site, 2)), stage(_urls(site, 2))
    assert _reasons(first) == _reasons(second) == [None, "robots"]
    assert site.asked == {"/robots.txt": 1, "/0": 2}
    assert (first.notes["robots_requests"], second.notes["robots_requests"]) == (1, 0)
    with _stage(site, robots_txt=True, user_agent="mybot/1") as stage:
        assert _reasons(stage(_urls(site, 2))) == [None, "robots"]
    with _stage(site, robots_txt=True) as stage:
        assert _reasons(stage(_urls(site, 2))) == ["robots", "robots"]


def _late(answer: bytes, *, seconds: float) -> bytes:
    time.sleep(seconds)
    return answer


def test_robots_txt_is_asked_again_where_nothing_was_heard(site: Site) -> None:
    text = response(b"User-agent: *\nDisallow: /1\n")
    slow = {"/robots.txt": lambda seen: _late(text, seconds=0 if seen == 2 else 1)}
    site.pages = {**slow, "/0": response(jpeg(0))}
    with _stage(site, robots_txt=True, retries=2, timeout_s=0.3) as stage:
        mapped = stage(_urls(site, 2))
    assert _reasons(mapped) == [None, "robots"]
    assert site.asked == {"/robots.txt": 3, "/0": 1}
    assert mapped.notes["robots_requests"] == 3


def test_a_robots_txt_never_heard_of_ends_its_rows_with_that_failure(site: Site) -> None:
    site.pages = {"/robots.txt": lambda seen: _late(b"", seconds=1), "/0": response(jpeg(0))}
    with _stage(site, robots_txt=True, retries=1, timeout_s=0.2) as stage:
        assert _reasons(stage(_urls(site, 2))) == ["timeout", "timeout"]
    assert site.asked == {"/robots.txt": 2}


def test_a_failing_robots_txt_is_not_asked_again_at_once(site: Site) -> None:
    site.pages = {"/robots.txt": response(status="503 Busy"), "/0": response(jpeg(0))}
    with _stage(site, robots_txt=True, retries=2) as stage:
        assert _reasons(stage(_urls(site, 1))) == ["robots"]
    assert site.asked == {"/robots.txt": 1}


def test_connections_are_kept_over_rows_and_partitions() -> None:
    body, connections = jpeg(1), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(1)
            super().setup()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        at = f"127.0.0.1:{server.server_port}"
        config = Config(allow_hosts=["127.0.0.1"], robots_txt=False, per_host=3)
        rows = pa.table({"url": [f"http://{at}/{i}" for i in range(40)]})
        stage = config.build()
        with stage.ready():
            assert _reasons(stage(rows)) == [None] * 40
            assert _reasons(stage(rows)) == [None] * 40
        server.shutdown()
        thread.join()
    assert len(connections) <= 6


def test_the_socket_itself_refuses_private_addresses(site: Site) -> None:
    """Were the resolver fooled, the connection would still not be made."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        resolver = PublicResolver(pool, allow_hosts=["10.0.0.7"], connect_to={})
        for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1"):
            with pytest.raises(PrivateAddress):
                resolver.open_socket((2, 1, 6, "", (address, 80)))
        for address in ("1.1.1.1", "10.0.0.7"):
            resolver.open_socket((2, 1, 6, "", (address, 80))).close()


def test_expected_hashes_are_checked_and_nulls_are_not(site: Site) -> None:
    bodies = [jpeg(i) for i in range(3)]
    site.pages = {f"/{i}": response(body) for i, body in enumerate(bodies)}
    sums = [hashlib.md5(bodies[0]).hexdigest().upper(), "0" * 32, None]
    rows = _urls(site, 3).append_column("sum", pa.array(sums, pa.string()))
    with _stage(site, verify_hash=["sum", "md5"]) as stage:
        assert _reasons(stage(rows)) == [None, "hash_mismatch", None]
    assert Config(verify_hash=["sum", "md5"]).reads == ("url", "sum")


def test_listed_pictures_leave_nothing_behind(site: Site, tmp_path: Path) -> None:
    body = jpeg(1)
    listed = tmp_path / "listed.txt"
    listed.write_text(f"sha256:{hashlib.sha256(body).hexdigest()}\n")
    site.pages = {"/0": response(body), "/1": response(jpeg(2))}
    with _stage(site, hash_list=str(listed)) as stage:
        got = stage(_urls(site, 2))
    assert _reasons(got) == ["listed_hash", None]
    for name in ("image", "sha256", "phash", "width"):
        assert got.rows[name][0].as_py() is None
    (tmp_path / "a.jpg").write_bytes(body)
    load = LoadConfig(root=str(tmp_path), hash_list=str(listed)).build()
    with load.ready():
        assert _reasons(load(pa.table({"path": ["a.jpg"]}))) == ["listed_hash"]


def test_a_hash_list_is_part_of_the_identity_by_what_it_says(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    for path in (one, two):
        path.write_text("md5:" + "0" * 32)
    assert Config(hash_list=str(one)).identity() == Config(hash_list=str(two)).identity()
    two.write_text("md5:" + "1" * 32)
    assert Config(hash_list=str(one)).identity() != Config(hash_list=str(two)).identity()
    assert Config(hash_list=str(one)).check() == []
    assert "No such file" in Config(hash_list=str(tmp_path / "three")).check()[0]
    two.write_text("md5:1")
    assert "line 1" in Config(hash_list=str(two)).check()[0]
    with pytest.raises(ValidationError, match="changes nothing"):
        Config(hash_list_distance=2)


def test_politeness_is_no_part_of_the_identity_and_permission_is() -> None:
    base = Config()
    polite = Config(
        **{"user_agent": "x/9", "requests_per_s": 1, "host_failures": 1, "host_pause_s": 9},
        **{"connect_timeout_s": 1, "idle_timeout_s": 1, "retry_after_max_s": 1, "host_wait_s": 1},
    )
    assert polite.identity() == base.identity()
    assert Config(robots_txt=False).identity() != base.identity()
    assert Config(disallowed_header_directives=()).identity() != base.identity()


@pytest.mark.parametrize("agent", ["", "a\nb", "\u00e4"])
def test_user_agents_are_one_line_of_ascii(agent: str) -> None:
    with pytest.raises(ValidationError):
        Config(user_agent=agent)
