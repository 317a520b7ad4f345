"""The loopback web, over real sockets."""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from PIL import Image, UnidentifiedImageError

from curate.quickstart.faults import FAULTS
from curate.quickstart.pages import Page, encoded
from curate.quickstart.plant import REFUSED_HOST, Planted, PlantedRow, plant
from curate.quickstart.web import Web

A, B = "http://one.test/a.jpg", "http://two.test/a.jpg"


def ask(web: Web, url: str, method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return (status, headers, body), connecting where the resolve map says."""
    parts = urlsplit(url)
    address = web.resolve_map()[f"{parts.hostname}:80"]
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request(method, parts.path, headers={"Host": parts.hostname})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_hosts_are_kept_apart_and_the_rest_is_not_found() -> None:
    with Web({A: Page(b"one"), B: Page(b"two", "text/plain", 203)}) as web:
        assert ask(web, A)[0::2] == (200, b"one")
        status, headers, body = ask(web, B)
        assert (status, headers["Content-Type"], body) == (203, "text/plain", b"two")
        assert ask(web, "http://one.test/b.jpg")[0] == 404
        assert ask(web, A, "HEAD")[2] == b""
        assert web.hits == {A: 2, B: 1, "http://one.test/b.jpg": 1}


def test_a_reset_is_a_reset_before_the_first_byte() -> None:
    with (
        Web({A: Page(b"never", ending="reset")}) as web,
        socket.create_connection(("127.0.0.1", web.port), timeout=5) as client,
    ):
        client.sendall(b"GET /a.jpg HTTP/1.1\r\nHost: one.test\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_cut_answer_ends_before_what_it_announced() -> None:
    with (
        Web({A: Page(b"half", ending="cut")}) as web,
        pytest.raises(http.client.IncompleteRead) as caught,
    ):
        ask(web, A)
    assert (caught.value.partial, caught.value.expected) == (b"half", 4)


def test_a_refused_host_refuses_and_its_port_stays_taken() -> None:
    with Web({A: Page(b"one")}, refused=["gone.test"]) as web:
        with pytest.raises(ConnectionRefusedError):
            ask(web, "http://gone.test/a.jpg")
        port = int(web.resolve_map()["gone.test:80"].split(":")[1])
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_two_webs_run_at_once_with_the_same_addresses() -> None:
    with Web({A: Page(b"first")}) as first, Web({A: Page(b"second")}) as second:
        assert first.port != second.port
        assert (ask(first, A)[2], ask(second, A)[2]) == (b"first", b"second")


def test_leaving_hangs_up_on_idle_clients_at_once() -> None:
    with Web({A: Page(b"one")}) as web:
        address = ("127.0.0.1", web.port)
        client = socket.create_connection(address, timeout=5)
        client.sendall(b"GET /a.jpg HTTP/1.1\r\nHost: one.test\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with client:
        while client.recv(1000):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_a_web_that_does_not_run_says_so() -> None:
    with pytest.raises(RuntimeError, match="use it as `with Web"):
        Web({}).resolve_map()


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant()


@pytest.fixture(scope="module")
def web(planted: Planted) -> Iterator[Web]:
    with Web(planted.pages, refused=planted.refused) as running:
        yield running


def rows_of(planted: Planted, *faults: str) -> list[PlantedRow]:
    rows = [row for row in planted.rows if row.fault in faults]
    assert len(rows) == sum(FAULTS[fault].count for fault in faults)
    return rows


def follow(web: Web, url: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    for _ in range(5):
        status, headers, body = ask(web, url)
        if status not in (301, 302, 308):
            return status, headers, body
        url = headers["Location"]
    raise AssertionError(f"redirects without end at {url}")


def picture(web: Web, url: str) -> Image.Image:
    status, headers, body = follow(web, url)
    assert status == 200
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        assert headers["Content-Type"] == Image.MIME[image.format]
        return image.convert("RGB")


def test_good_rows_end_in_whole_pictures_some_by_redirect_and_in_several_formats(
    planted: Planted, web: Web
) -> None:
    rows = rows_of(planted, "none", "mismatched", "boilerplate", "near_duplicate", "repeated_row")
    assert min(min(picture(web, row.url).size) for row in rows) >= 64
    redirected = [row for row in rows if planted.pages[row.url].status != 200]
    types = {page.content_type for page in planted.pages.values()}
    assert redirected
    assert {"image/jpeg", "image/png", "image/webp"} <= types


@pytest.mark.parametrize("status", [404, 410, 500])
def test_dead_links_answer_with_their_status(planted: Planted, web: Web, status: int) -> None:
    for row in rows_of(planted, f"http_{status}"):
        assert ask(web, row.url)[0] == status


def test_connections_fail_as_planted(planted: Planted, web: Web) -> None:
    for row in rows_of(planted, "connection_reset"):
        with pytest.raises(ConnectionResetError):
            ask(web, row.url)
    for row in rows_of(planted, "connection_cut"):
        with pytest.raises(http.client.IncompleteRead):
            ask(web, row.url)
    for row in rows_of(planted, "connection_refused"):
        assert urlsplit(row.url).hostname == REFUSED_HOST
        with pytest.raises(ConnectionRefusedError):
            ask(web, row.url)


def test_redirects_lead_nowhere_or_into_a_private_network(planted: Planted, web: Web) -> None:
    for row in rows_of(planted, "redirect_loop"):
        assert ask(web, row.url)[1]["Location"] == row.url
    for row in rows_of(planted, "redirect_private"):
        assert ask(web, row.url)[1]["Location"].startswith("http://10.0.0.1/")


def test_opted_out_pictures_are_whole_and_say_so_in_their_header(
    planted: Planted, web: Web
) -> None:
    for row in rows_of(planted, "opted_out"):
        _, headers, _ = ask(web, row.url)
        assert headers["X-Robots-Tag"] == "noai, noimageai"
        picture(web, row.url)


def test_what_is_no_picture_does_not_open(planted: Planted, web: Web) -> None:
    for row in rows_of(planted, "html", "svg", "plain_text", "empty_body"):
        status, _, body = ask(web, row.url)
        assert status == 200
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(body))


def test_truncated_files_open_and_do_not_load(planted: Planted, web: Web) -> None:
    for row in rows_of(planted, "truncated"):
        _, headers, body = ask(web, row.url)
        assert int(headers["Content-Length"]) == len(body)
        with Image.open(io.BytesIO(body)) as image, pytest.raises(OSError, match="truncated"):
            image.load()


def test_icons_pixels_and_banners_have_their_shapes(planted: Planted, web: Web) -> None:
    assert all(max(picture(web, r.url).size) <= 48 for r in rows_of(planted, "icon"))
    assert all(picture(web, r.url).size == (1, 1) for r in rows_of(planted, "tracking_pixel"))
    for row in rows_of(planted, "banner"):
        width, height = picture(web, row.url).size
        assert height >= 90
        assert 6 <= width / height <= 10


def test_a_near_duplicate_is_other_bytes_of_about_the_same_picture(
    planted: Planted, web: Web
) -> None:
    for row in rows_of(planted, "near_duplicate"):
        assert ask(web, row.url)[2] != row.picture.path.read_bytes()
        with Image.open(row.picture.path) as original:
            small = original.convert("L").resize((16, 16))
        seen = picture(web, row.url).convert("L").resize((16, 16))
        apart = [abs(a - b) for a, b in zip(small.tobytes(), seen.tobytes(), strict=True)]
        assert sum(apart) / len(apart) < 20


def test_encoded_keeps_the_format() -> None:
    assert encoded(Image.new("RGB", (3, 2)), "PNG").startswith(b"\x89PNG")
