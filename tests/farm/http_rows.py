"""Answers, connections, lengths, encodings, headers, redirects."""

from __future__ import annotations

import gzip
import zlib

from tests.farm.behaviour import (
    DECODED,
    Behaviour,
    chunked,
    forever,
    head,
    paced,
    redirect,
    reply,
    steps,
    then,
)
from tests.farm.pictures import JPEG
from tests.farm.server import FORBIDDEN, RESET

_OK = reply(JPEG)
_SHUT = "Connection: close"
_BOMB = gzip.compress(bytes(50_000_000), 9)
_B = Behaviour


def _status(code: int, phrase: str, ends: str, asked: int, *lines: str) -> Behaviour:
    does = f"answers {code} {phrase}" + "".join(f", {line}" for line in lines)
    page = reply(b"no", *lines, status=f"{code} {phrase}")
    if code in (204, 304):
        page = steps(head(*lines, status=f"{code} {phrase}"))
    return _B(f"status-{code}" + ("-later" if lines else ""), does, ends, page, asked=asked)


STATUS = (
    _B("plain", "a JPEG with its length", DECODED, _OK),
    _status(204, "No Content", "http_other", 1),
    _status(206, "Partial Content", "http_other", 1),
    _status(300, "Multiple Choices", "http_other", 1),
    _status(304, "Not Modified", "http_other", 1),
    _status(400, "Bad Request", "http_400", 1),
    _status(401, "Unauthorized", "http_401", 1),
    _status(403, "Forbidden", "http_403", 1),
    _status(404, "Not Found", "http_404", 1),
    _status(408, "Request Timeout", "http_408", 2),
    _status(410, "Gone", "http_410", 1),
    _status(418, "I'm a teapot", "http_418", 1),
    _status(425, "Too Early", "http_425", 2),
    _status(429, "Too Many Requests", "http_429", 2),
    _status(429, "Too Many Requests", "http_429", 1, "Retry-After: 3600"),
    _status(451, "Unavailable For Legal Reasons", "http_451", 1),
    _status(500, "Internal Server Error", "http_5xx", 2),
    _status(503, "Service Unavailable", "http_5xx", 2),
    _status(999, "Denied", "http_other", 1),
    _B(
        "busy-once",
        "503 with `Retry-After: 0`, then a JPEG",
        DECODED,
        then(reply(b"", "Retry-After: 0", status="503 Busy"), _OK),
        asked=2,
    ),
    _B(
        "busy-odd-date",
        "503 with a `Retry-After` that means nothing, then a JPEG",
        DECODED,
        then(reply(b"", "Retry-After: tomorrow", status="503 Busy"), _OK),
        asked=2,
    ),
    _B(
        "early-hints",
        "103 Early Hints, then a JPEG",
        DECODED,
        steps(
            head("Link: </a>", status="103 Early Hints"),
            head(f"Content-Length: {len(JPEG)}") + JPEG,
        ),
    ),
)

CONNECTION = (
    _B("refused", "nobody listens", "connect", port="closed"),
    _B("reset", "resets the connection at once", "connect", steps(RESET)),
    _B("hangs-up", "closes without a word", "connect", steps()),
    _B("reset-once", "resets the first connection, then a JPEG", DECODED, then(steps(RESET), _OK)),
    _B(
        "reset-midway",
        "resets in mid-body",
        "truncated_body",
        steps(head(f"Content-Length: {len(JPEG)}") + JPEG[:300], 0.05, RESET),
        asked=2,
    ),
    _B("silent", "accepts and never answers", "timeout", steps(60.0), asked=2),
    _B(
        "late",
        "answers after 0.3 s",
        DECODED,
        paced(head(f"Content-Length: {len(JPEG)}") + JPEG, pause_s=0.3),
    ),
    _B(
        "drip-status",
        "a byte of the status line every 0.5 s",
        "timeout",
        paced(*(bytes([byte]) for byte in head()), pause_s=0.5),
    ),
    _B(
        "drip-body",
        "a byte of the body every 0.3 s",
        "timeout",
        forever(b"\xff", 0.3, first=head("Content-Length: 9999")),
    ),
    _B(
        "stalls",
        "stops in mid-body",
        "timeout",
        steps(head(f"Content-Length: {len(JPEG)}") + JPEG[:300], 60.0),
    ),
    _B("endless-body", "a body without end", "too_large", forever(bytes(65536), first=head(_SHUT))),
    _B(
        "endless-head",
        "header lines without end",
        "headers_too_large",
        forever(b"X-A: " + b"a" * 1000 + b"\r\n", first=b"HTTP/1.1 200 OK\r\n"),
    ),
    _B(
        "endless-line",
        "a header line without end",
        "headers_too_large",
        forever(b"a" * 4096, first=b"HTTP/1.1 200 OK\r\nX: "),
    ),
    _B(
        "endless-hints",
        "103 Early Hints without end",
        "timeout",
        forever(head(status="103 Early Hints"), 0.01),
    ),
    _B("not-http", "an SSH greeting", "protocol", steps(b"SSH-2.0-OpenSSH_9.0\r\n\r\n")),
    _B("http-0-9", "a JPEG without any head", "protocol", steps(JPEG)),
    _B("icy", "an ICY status line", "protocol", steps(b"ICY 200 OK\r\n\r\n" + JPEG)),
    _B("http-1-0", "HTTP/1.0 without length", DECODED, steps(b"HTTP/1.0 200 OK\r\n\r\n" + JPEG)),
    _B("noise", "random bytes", "protocol", steps(bytes(range(255, 0, -1)) * 40)),
)

LENGTH = (
    _B(
        "length-too-long",
        "announces more than it sends",
        "truncated_body",
        steps(head(f"Content-Length: {len(JPEG) + 50}", _SHUT) + JPEG),
    ),
    _B(
        "length-too-short",
        "announces less than it sends",
        "protocol",
        reply(JPEG, length=400),
    ),
    _B("length-absent", "no length, ends with the connection", DECODED, steps(head(_SHUT) + JPEG)),
    _B("length-negative", "`Content-Length: -1`", "protocol", reply(JPEG, length=-1)),
    _B(
        "length-words",
        "`Content-Length: many`",
        "protocol",
        steps(head("Content-Length: many") + JPEG),
    ),
    _B("length-twice", "two different lengths", "protocol", reply(JPEG, "Content-Length: 10")),
    _B("length-huge", "announces 10 GB", "too_large", reply(JPEG, length=10**10)),
    _B(
        "length-absurd",
        "a length of 400 digits",
        "protocol",
        steps(head("Content-Length: " + "9" * 400) + JPEG),
    ),
    _B(
        "length-and-chunks",
        "a length and chunks at once",
        "protocol",
        steps(head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    ),
    _B("chunks", "chunked", DECODED, chunked(JPEG[:100], JPEG[100:])),
    _B(
        "chunks-trailer",
        "chunked with a trailer",
        DECODED,
        chunked(JPEG, end=b"0\r\nX-Sum: 1\r\n\r\n"),
    ),
    _B(
        "chunks-garbage",
        "chunk sizes that are no numbers",
        "protocol",
        steps(head("Transfer-Encoding: chunked") + b"zz\r\nabc\r\n"),
    ),
    _B(
        "chunks-unended",
        "no last chunk",
        "truncated_body",
        steps(head("Transfer-Encoding: chunked", _SHUT) + b"5\r\nabcde\r\n"),
    ),
    _B(
        "chunk-giant",
        "a chunk said to be 16 EB",
        "truncated_body",
        steps(head("Transfer-Encoding: chunked", _SHUT) + b"ffffffffffffffff\r\nabc"),
    ),
    _B(
        "chunks-endless",
        "chunks without end",
        "too_large",
        forever(b"10000\r\n" + bytes(65536) + b"\r\n", first=head("Transfer-Encoding: chunked")),
    ),
)

_RAW = zlib.compressobj(wbits=-15)
_DEFLATED = _RAW.compress(JPEG) + _RAW.flush()


def _coded(name: str, does: str, ends: str, body: bytes, coding: str) -> Behaviour:
    return _B(f"coding-{name}", does, ends, reply(body, f"Content-Encoding: {coding}", _SHUT))


CODING = (
    _coded("gzip", "gzip, though none was asked for", DECODED, gzip.compress(JPEG), "gzip"),
    _coded("deflate", "deflate", DECODED, zlib.compress(JPEG), "deflate"),
    _coded("deflate-raw", "deflate without its header", DECODED, _DEFLATED, "deflate"),
    _coded("gzip-tail", "gzip with bytes behind", DECODED, gzip.compress(JPEG) + b"tail", "gzip"),
    _coded("gzip-bomb", "50 MB in 50 KB of gzip", "too_large", _BOMB, "gzip"),
    _coded("gzip-cut", "gzip that ends early", "truncated_body", gzip.compress(JPEG)[:-90], "gzip"),
    _coded("gzip-not", "says gzip and is none", "protocol", JPEG, "gzip"),
    _coded("br", "brotli, which nobody asked for", "protocol", b"abc", "br"),
    _coded("twice", "`gzip, gzip`", "protocol", gzip.compress(gzip.compress(JPEG)), "gzip, gzip"),
)

HEADERS = (
    _B(
        "header-long",
        "a header line of 100 KB",
        "headers_too_large",
        reply(JPEG, "X-Long: " + "a" * 100_000),
    ),
    _B(
        "header-many",
        "a thousand header lines",
        "headers_too_large",
        reply(JPEG, *(f"X-{i}: 1" for i in range(1000))),
    ),
    _B(
        "header-nul",
        "a NUL in a header",
        "protocol",
        steps(b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n" + JPEG),
    ),
    _B(
        "header-no-colon",
        "a header line without colon",
        "protocol",
        steps(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n" + JPEG),
    ),
    _B("header-latin", "a header beyond ASCII", DECODED, reply(JPEG, "X-Name: \xe4\xf6\xfc")),
    _B("cookie", "sets a cookie and asks for it", DECODED, then(reply(JPEG, "Set-Cookie: a=b"))),
    _B("type-wrong", "a JPEG as `text/html`", DECODED, reply(JPEG, "Content-Type: text/html")),
    _B(
        "type-none",
        "a JPEG as `application/octet-stream`",
        DECODED,
        reply(JPEG, "Content-Type: application/octet-stream"),
    ),
)


def _to(name: str, does: str, ends: str, location: str, status: str = "302 Found") -> Behaviour:
    pages = {"/end": _OK}
    return _B(f"redirect-{name}", does, ends, redirect(location, status), pages=pages)


def _chain(name: str, count: int, ends: str) -> Behaviour:
    pages = {f"/{i}": redirect(f"/{i + 1}" if i < count - 1 else "/end") for i in range(1, count)}
    does = f"{count} redirects, then a JPEG"
    return _B(f"redirect-{name}", does, ends, redirect("/1"), pages={**pages, "/end": _OK})


_META = "/latest/meta-data/"

REDIRECT = (
    _to("relative", "301 to a relative URL", DECODED, "end", "301 Moved"),
    _to("absolute", "302 to an absolute URL", DECODED, "http://redirect-absolute-0.farm.test/end"),
    _to("303", "303", DECODED, "/end", "303 See Other"),
    _to("307", "307", DECODED, "/end", "307 Temporary Redirect"),
    _to("308", "308", DECODED, "/end", "308 Permanent Redirect"),
    _chain("chain", 5, DECODED),
    _chain("chain-long", 6, "too_many_redirects"),
    _to("self", "a loop of one", "too_many_redirects", "/x"),
    _B(
        "redirect-loop",
        "a loop of two",
        "too_many_redirects",
        redirect("/y"),
        pages={"/y": redirect("/x")},
    ),
    _B("redirect-nowhere", "no `Location`", "bad_redirect", reply(status="302 Found")),
    _to("file", "to `file:`", "bad_redirect", "file:///etc/passwd"),
    _to("ftp", "to `ftp:`", "bad_redirect", "ftp://redirect-ftp.farm.test/a"),
    _to("script", "to `javascript:`", "bad_redirect", "javascript:alert(1)"),
    _to("data", "to `data:`", "bad_redirect", "data:image/gif;base64,R0lGODlhAQABAAAAACw="),
    _to("mail-port", "to a mail server's port", "bad_redirect", "http://a.farm.test:25/"),
    _to("broken", "to `http://[`", "bad_redirect", "http://["),
    _to("metadata", "to 169.254.169.254", "private_address", f"http://169.254.169.254{_META}"),
    _to(
        "forbidden",
        "to the forbidden server",
        "private_address",
        f"http://{FORBIDDEN}:PORT_forbidden{_META}",
    ),
    _to(
        "mapped",
        "to it as an IPv6-mapped address",
        "private_address",
        f"http://[::ffff:{FORBIDDEN}]:PORT_forbidden/",
    ),
    _to("decimal", "to it as one number", "bad_redirect", "http://2130706434:PORT_forbidden/"),
    _to("hex", "to it in hexadecimal", "bad_redirect", "http://0x7f.0.0.2:PORT_forbidden/"),
    _to(
        "wide",
        "to it in full-width digits, escaped",
        "bad_redirect",
        "http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.2:PORT_forbidden/",
    ),
    _to(
        "named",
        "to it by a name",
        "private_address",
        f"http://inside.names.test:PORT_forbidden{_META}",
    ),
    _to("localhost", "to `localhost`", "private_address", "http://localhost:PORT_forbidden/"),
    _to(
        "userinfo",
        "to it behind a user name",
        "private_address",
        f"http://example.com@{FORBIDDEN}:PORT_forbidden/",
    ),
    _to(
        "backslash",
        "to it behind a backslash",
        "bad_redirect",
        f"http://{FORBIDDEN}:PORT_forbidden\\@example.com/",
    ),
    _to("private-net", "to 10.0.0.1", "private_address", "http://10.0.0.1/"),
    _to("link-local", "to fe80::1", "private_address", "http://[fe80::1]/"),
)
