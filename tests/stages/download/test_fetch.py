from __future__ import annotations

import asyncio
import gzip
import hashlib
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.core.columns import UID, URL, check_fields
from curate.core.stage import Mapped
from curate.images import check_header, decode
from curate.stages.download.fetch import Config
from tests.images.pictures import jpeg
from tests.stages.download.site import Site, response, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


def _rows(urls: list[str | None]) -> pa.Table:
    return pa.table([[f"{i:032x}" for i in range(len(urls))], urls], schema=pa.schema([UID, URL]))


def _fetch(site: Site, urls: list[str | None], **options: Any) -> Mapped:
    base = {"resolve": site.resolve, "backoff_s": 0.01, "timeout_s": 5, "robots_txt": False}
    config = Config(**{**base, **options})
    stage = config.build()
    with stage.ready():
        got = stage(_rows(urls))
    check_fields(got.rows, config.writes, writer="fetch")
    assert got.rows["url"].to_pylist() == urls
    for image, reason in zip(got.rows["image"].to_pylist(), got.reasons.to_pylist(), strict=True):
        assert (image is None) == (reason is not None)
    return got


def _one(site: Site, page: Any, **options: Any) -> tuple[str | None, str | None, int | None]:
    site.pages["/page"] = page
    got = _fetch(site, [site.url("/page")], **options)
    status = got.rows["http_status"][0].as_py()
    return got.reasons[0].as_py(), got.details[0].as_py(), status


def test_pictures_come_back_in_row_order(site: Site) -> None:
    bodies = [jpeg(i, width=100 + i, height=60) for i in range(20)]
    for i, body in enumerate(bodies):
        site.pages[f"/{i}.jpg"] = lambda seen, i=i, body=body: (
            time.sleep(0.02 * (i % 3)) or response(body)
        )
    got = _fetch(site, [site.url(f"/{i}.jpg") for i in range(20)], resize=32)
    table = got.rows.to_pylist()
    for i, row in enumerate(table):
        assert row["sha256"] == hashlib.sha256(bodies[i]).hexdigest()
        assert (row["original_width"], row["original_height"]) == (100 + i, 60)
        assert (row["height"], row["http_status"]) == (32, 200)
        assert decode(row["image"]).shape == (32, row["width"], 3)
        assert row["phash"] is not None
    notes = dict(got.notes)
    assert notes.pop("full_flight_s") > 0
    assert notes.pop("cpu_s") > 0
    assert notes == {
        **{"bytes": sum(map(len, bodies)), "requests": 20, "retries": 0},
        **{"robots_requests": 0, "slowdowns": 0},
    }


@pytest.mark.parametrize(
    ("page", "reason", "word"),
    [
        (response(status="404 Not Found"), "http_404", "HTTP 404 Not Found"),
        (response(status="410 Gone"), "http_410", "410"),
        (response(status="500 Oops"), "http_5xx", "500"),
        (response(status="204 No Content"), "http_other", "204"),
        (response(b"<html>hello"), "not_an_image", "HTML"),
        (response(b""), "empty_body", "no bytes"),
        (response(jpeg(1)[:-700]), "truncated_image", "JPEG"),
        (response(jpeg(1)[:-700], length=len(jpeg(1))), "truncated_body", ""),
        (b"", "connect", ""),
        (b"SSH-2.0-OpenSSH_9.0\r\n\r\n", "protocol", ""),
        (response(jpeg(1), X_Robots_Tag="noai"), "opt_out", "noai"),
        (response(jpeg(1), X_Robots_Tag="otherbot: none, NoImageAI"), None, ""),
        (response(jpeg(1), X_Robots_Tag="CurateBot: none, NoImageAI"), "opt_out", "CurateBot"),
        (response(jpeg(1), Content_Encoding="br"), "protocol", "br"),
        (b"HTTP/1.1 404 \xff\xfe\r\nContent-Length: 0\r\n\r\n", "http_404", "HTTP 404 ??"),
        (b"HTTP/1.1 302 A\r\nLocation: ftp://\xff/\r\n\r\n", "bad_redirect", "302"),
        (response(gzip.compress(jpeg(1)), Content_Encoding="gzip"), None, ""),
        (response(gzip.compress(jpeg(1))[:-200], Content_Encoding="gzip"), "truncated_body", ""),
        (response(b"no gzip", Content_Encoding="gzip"), "protocol", "gzip"),
    ],
)
def test_every_failure_has_its_reason(
    site: Site, page: bytes, reason: str | None, word: str
) -> None:
    got, detail, _ = _one(site, page, user_agent_token="CurateBot", retries=1)
    assert got == reason
    assert word in (detail or "")


def test_status_is_kept_of_rows_that_fail(site: Site) -> None:
    assert _one(site, response(status="404 Not Found"))[2] == 404
    assert _one(site, b"")[2] is None


def test_byte_cap_is_enforced_while_streaming(site: Site) -> None:
    body = jpeg(1)
    assert _one(site, response(body), max_bytes=len(body))[0] is None
    got = _one(site, response(body), max_bytes=len(body) - 1)
    assert got[0] == "too_large" and "announced" in (got[1] or "")
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(3_000_000)
    got = _one(site, endless, max_bytes=100_000)
    assert got[0] == "too_large" and "more than" in (got[1] or "")
    bomb = response(gzip.compress(bytes(3_000_000)), Content_Encoding="gzip")
    got = _one(site, bomb, max_bytes=100_000)
    assert got[0] == "too_large" and "unpacked" in (got[1] or "")


def test_pixel_cap(site: Site) -> None:
    assert _one(site, response(jpeg(1, width=100, height=60)), max_pixels=5999)[0] == (
        "too_many_pixels"
    )


@pytest.mark.parametrize("failing", [b"", response(status="503 Busy"), response(status="429 Slow")])
def test_passing_failures_are_tried_again(site: Site, failing: bytes) -> None:
    page = lambda seen: failing if seen < 2 else response(jpeg(1))  # noqa: E731
    assert _one(site, page, retries=2)[0] is None
    assert site.asked["/page"] == 3


def test_lasting_failures_are_not_tried_again(site: Site) -> None:
    assert _one(site, response(status="404 Not Found"), retries=3)[0] == "http_404"
    assert _one(site, response(b"<html>"), retries=3)[0] == "not_an_image"
    assert site.asked["/page"] == 2


def test_timeout_and_deadline(site: Site) -> None:
    site.hold_s = 0.6
    begun = time.monotonic()
    assert _one(site, response(jpeg(1)), timeout_s=0.1, retries=1)[0] == "timeout"
    assert site.asked["/page"] == 2
    urls = [site.url(f"/{i}") for i in range(50)]
    got = _fetch(site, urls, deadline_s=0.3, per_host=2)
    assert set(got.reasons.to_pylist()) == {"deadline"}
    assert time.monotonic() - begun < 3


def test_redirects_are_followed_up_to_the_cap(site: Site) -> None:
    site.pages["/end"] = response(jpeg(1))
    for i in range(5):
        location = f"/hop{i + 1}" if i < 4 else "http://other.test/end"
        site.pages[f"/hop{i}"] = response(status="302 Found", Location=location)
    got = _fetch(site, [site.url("/hop0"), site.url("/hop1")], max_redirects=4)
    assert got.reasons.to_pylist() == ["too_many_redirects", None]
    assert _one(site, response(status="301 Moved"))[0] == "bad_redirect"
    assert _one(site, response(status="301 Moved", Location="file:///etc/passwd"))[0] == (
        "bad_redirect"
    )


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/end",
        "http://localhost:{port}/end",
        "http://[::1]:{port}/end",
        "http://[::ffff:127.0.0.1]:{port}/end",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/end",
        "http://0.0.0.0:{port}/end",
    ],
)
def test_private_addresses_are_never_asked(site: Site, target: str) -> None:
    private = target.format(port=site.port)
    site.pages["/end"] = response(jpeg(1))
    site.pages["/hop"] = response(status="302 Found", Location=private)
    got = _fetch(site, [private, site.url("/hop")])
    assert got.reasons.to_pylist() == ["private_address", "private_address"]
    assert site.asked["/end"] == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listed_hosts_are_asked(site: Site, host: str) -> None:
    site.pages["/end"] = response(jpeg(1))
    url = f"http://{host}:{site.port}/end"
    assert _fetch(site, [url], allow_hosts=[host]).reasons.to_pylist() == [None]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://pictures.test/a.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "a.jpg",
        "http://",
        "http:///a.jpg",
        "http://pictures.test:99999/a",
        "http://[::1/a",
        "http://2130706433/a",
        "http://127.1/a",
        "http://0x7f000001/a",
        "http://pictures.test/" + "a" * 9000,
    ],
)
def test_bad_urls(site: Site, url: str) -> None:
    got = _fetch(site, [url])
    assert got.reasons.to_pylist() == ["bad_url"]
    assert not site.asked


def test_null_and_blank_urls_and_unknown_hosts(site: Site) -> None:
    site.pages["/a b.jpg"] = site.pages["/a%20b.jpg"] = response(jpeg(1))
    urls = [None, "  ", "http://no-such-host.invalid/a.jpg", f"  {site.url('/a b.jpg#x')}\n"]
    assert _fetch(site, urls).reasons.to_pylist() == ["no_url", "no_url", "dns", None]


def test_one_host_is_not_flooded(site: Site) -> None:
    site.hold_s = 0.03
    _fetch(site, [site.url(f"/{i}") for i in range(24)], per_host=3, concurrency=16)
    assert site.most == 3
    site.most = 0
    urls = [site.url(f"/{i}", host) for i in range(12) for host in ("pictures.test", "other.test")]
    _fetch(site, urls, per_host=6, concurrency=8)
    assert 6 < site.most <= 8


def test_headers_are_honest(site: Site) -> None:
    _one(site, response(jpeg(1)), user_agent="mine/1", user_agent_token="Token")
    sent = {line.partition(": ")[0]: line.partition(": ")[2] for line in site.headers["/page"]}
    assert sent["User-Agent"] == "mine/1 (compatible; Token)"
    assert sent["Accept-Encoding"] == "identity"
    assert "Cookie" not in sent
    _one(site, response(jpeg(1)))
    assert any(line.startswith("User-Agent: curate/") for line in site.headers["/page"])


def test_image_options_reach_the_pictures(site: Site) -> None:
    site.pages["/a"] = response(jpeg(1, width=80, height=40))
    urls: list[str | None] = [site.url("/a")]
    square = _fetch(site, urls, resize=20, resize_mode="border", encode_format="png").rows
    assert (square["width"][0].as_py(), square["height"][0].as_py()) == (20, 20)
    assert check_header(square["image"][0].as_py()).format == "PNG"
    assert _fetch(site, urls, min_image_size=41).reasons.to_pylist() == ["too_small"]
    assert _fetch(site, urls, max_aspect_ratio=1.5).reasons.to_pylist() == ["aspect_ratio"]
    assert _fetch(site, urls, max_image_area=3199).reasons.to_pylist() == ["too_large"]


def test_runs_inside_a_running_loop_and_after_pickling(site: Site) -> None:
    site.pages["/a"] = response(jpeg(1))

    async def notebook() -> Mapped:
        return _fetch(site, [site.url("/a")])

    assert asyncio.run(notebook()).reasons.to_pylist() == [None]
    config = pickle.loads(pickle.dumps(Config(resolve=site.resolve)))
    assert config == Config(resolve=site.resolve)


@pytest.mark.parametrize(
    "options",
    [
        {"resize_mode": "border"},
        {"resize": 10, "resize_mode": "no"},
        {"encode_format": "png", "encode_quality": 95},
        {"encode_quality": 101},
        {"resolve": {"pictures.test": "127.0.0.1:80"}},
        {"resolve": {"pictures.test:80": "localhost:80"}},
        {"resolve": {"10.0.0.1:80": "127.0.0.1:80"}},
    ],
)
def test_options_without_effect_or_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**options)


def test_patience_is_no_part_of_the_identity() -> None:
    base = Config(resize=64)
    patient = Config(resize=64, timeout_s=60, retries=9, resolve={"a.test:80": "127.0.0.1:1"})
    assert patient.identity() == base.identity()
    assert Config(resize=65).identity() != base.identity()
