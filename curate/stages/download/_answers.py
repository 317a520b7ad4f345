"""What a GET came to, and the class of everything that can go wrong with one.

Classes (the ledger's reasons) and whether trying again may help:

====================== ===== =====================================================================
``bad_url``            no    not an absolute http or https URL of a host on a usable port
``private_address``    no    the host is, or resolves to, an address that is not public
``robots``             no    robots.txt forbids it, or its server fails
``host_down``          no    the host only failed lately, or asked to be left alone; not asked now
``dns``                some  the name does not exist (no), or its server did not answer (yes)
``connect``            yes   refused, reset, unreachable
``tls``                no    no common protocol, no TLS at all
``tls_certificate``    no    expired, self-signed, unknown issuer, another host's
``timeout``            yes   no connection, no byte for a while, or not done in time
``protocol``           no    not HTTP, or broken HTTP
``headers_too_large``  no    a header line, or their number, beyond every use
``http_4xx`` by number some  408, 425 and 429 only
``http_5xx``           yes
``http_other``         no    1xx to 3xx that bring no body
``bad_redirect``       no    to no or to no usable URL
``too_many_redirects`` no
``opt_out``            no    X-Robots-Tag forbids the use
``too_large``          no    more bytes than allowed, also once unpacked
``truncated_body``     yes   the connection ended before the body did
====================== ===== =====================================================================
"""

from __future__ import annotations

import re
import socket
import ssl
import zlib
from dataclasses import dataclass

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from curate.stages.download._addresses import PrivateAddress

#: Reasons that speak against a host rather than against one page of it.
FAILURES_OF_A_HOST = frozenset(
    {
        *("dns", "connect", "tls", "tls_certificate", "timeout"),
        *("protocol", "headers_too_large", "truncated_body", "http_5xx"),
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a GET came to.

    Attributes:
        body: the bytes, or None.
        status: last HTTP status, or None without an answer.
        reason: reason code when there is no body.
        detail: for people.
        again: whether trying again may help.
        wait_s: seconds the server asked to wait, or None.
    """

    body: bytes | None = None
    status: int | None = None
    reason: str | None = None
    detail: str | None = None
    again: bool = False
    wait_s: float | None = None


def bad_status(status: int, phrase: str, wait_s: float | None = None) -> Answer:
    """Return the answer of a status that is not 200: ``http_404``, ``http_5xx``, ``http_other``."""
    if 400 <= status < 500:
        reason = f"http_{status}"
    else:
        reason = "http_5xx" if 500 <= status < 600 else "http_other"
    again = reason == "http_5xx" or status in (408, 425, 429)
    detail = f"HTTP {status} {phrase[:100]}".strip()
    if wait_s is not None:
        detail += f", Retry-After {wait_s:.0f} s"
    return Answer(None, status, reason, detail, again, wait_s if again else None)


def too_large(status: int, detail: str, limit: int) -> Answer:
    """Return the answer of a body above the cap."""
    return Answer(None, status, "too_large", f"{detail}, limit {limit}")


def decompressed(body: bytes, status: int, encoding: str | None, limit: int) -> Answer:
    """Undo a content encoding that was sent though none was asked for, within the cap."""
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return Answer(body, status)
    if name not in ("gzip", "x-gzip", "deflate"):
        return Answer(None, status, "protocol", f"Content-Encoding {name[:40]!r} was not asked for")
    # Many servers send deflate without zlib's header, whose first byte is then no 0x?8.
    raw = name == "deflate" and body[:1] and body[0] & 0x0F != 8
    undo = zlib.decompressobj(wbits=47 if "gzip" in name else -15 if raw else 15)
    try:
        plain = undo.decompress(body, limit + 1)
    except zlib.error as error:
        return Answer(None, status, "protocol", f"Content-Encoding {name}: {error}")
    if len(plain) > limit:
        return too_large(status, f"more than {limit} bytes unpacked", limit)
    if not undo.eof:
        return Answer(None, status, "truncated_body", f"{name} ends early", again=True)
    return Answer(plain, status)


#: Classes of failures below HTTP, the most particular first: reason, and whether to try again.
_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str, bool], ...] = (
    ((PrivateAddress,), "private_address", False),
    (
        (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError),
        "tls_certificate",
        False,
    ),
    ((aiohttp.ClientSSLError, ssl.SSLError), "tls", False),
    ((TimeoutError,), "timeout", True),
    ((aiohttp.ClientPayloadError,), "truncated_body", True),
    ((aiohttp.InvalidURL, ValueError), "bad_url", False),
    ((aiohttp.ClientConnectionError, OSError), "connect", True),
)


def failure(error: BaseException) -> Answer:
    """Return the class of what went wrong below HTTP."""
    detail = (" ".join(str(error).split()) or type(error).__name__)[:300]
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        temporary = error.os_error.errno == socket.EAI_AGAIN
        return Answer(reason="dns", detail=detail, again=temporary)
    if _headers_too_large(error):
        return Answer(reason="headers_too_large", detail=detail)
    for classes, reason, again in _FAILURES:
        if isinstance(error, classes):
            return Answer(reason=reason, detail=detail, again=again)
    return Answer(reason="protocol", detail=detail)


def _headers_too_large(error: BaseException) -> bool:
    if isinstance(error, LineTooLong) or isinstance(error.__cause__, LineTooLong):
        return True
    said = str(error) if isinstance(error, aiohttp.ClientResponseError) else ""
    return re.search(r"Got more than \d+ bytes|Too many headers", said) is not None
