"""One polite, bounded GET: redirects by hand, caps while streaming, every failure with a class."""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from curate.stages.download._addresses import PrivateAddress, is_public, literal

_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 1 << 16
_MAX_URL = 8192


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one GET.

    Attributes:
        timeout_s: seconds from the connection to the last byte, redirects included.
        max_bytes: of the body.
        max_redirects: followed before giving up.
    """

    timeout_s: float
    max_bytes: int
    max_redirects: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a GET came to.

    Attributes:
        body: the bytes, or None.
        status: last HTTP status, or None without an answer.
        reason: reason code when there is no body.
        detail: for people.
        again: whether trying again may help.
    """

    body: bytes | None = None
    status: int | None = None
    reason: str | None = None
    detail: str | None = None
    again: bool = False


class Fetcher:
    """GETs over one session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limits: Limits,
        *,
        allow_hosts: Collection[str],
        user_agent_token: str | None,
        disallowed: Collection[str],
    ) -> None:
        """Build the fetcher.

        Args:
            session: whose connector resolves by ``PublicResolver``.
            limits: caps.
            allow_hosts: literal addresses that are accepted though they are not public.
            user_agent_token: name that ``X-Robots-Tag`` may address, lower case.
            disallowed: directives of ``X-Robots-Tag`` that forbid the use, lower case.
        """
        self._session = session
        self._limits = limits
        self._allow_hosts = frozenset(allow_hosts)
        self._token = user_agent_token
        self._disallowed = frozenset(disallowed)

    async def get(self, url: str) -> Answer:
        """GET once, following redirects. Never raises for what a server or a URL may do."""
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._follow(url)
        except TimeoutError:
            return Answer(reason="timeout", detail=f"{self._limits.timeout_s:g} s", again=True)
        except PrivateAddress as error:
            return Answer(reason="private_address", detail=str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return failure(error)

    async def _follow(self, url: str) -> Answer:
        target, status = parse(url), 0
        for _ in range(self._limits.max_redirects + 1):
            self._check_literal(target)
            async with self._session.get(target, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._read(response)
                location = response.headers.get("Location", "")
                status = response.status
            try:
                if not location:
                    raise ValueError("no Location")
                target = parse(str(target.join(URL(location))))
            except ValueError as error:
                detail = f"HTTP {status} to {location[:200]!r}: {error}"
                return Answer(None, status, "bad_redirect", detail)
        count = self._limits.max_redirects
        return Answer(None, status, "too_many_redirects", f"more than {count}")

    def _check_literal(self, url: URL) -> None:
        address = literal(url.host or "")
        if address is not None and address not in self._allow_hosts and not is_public(address):
            raise PrivateAddress(f"the URL names {address}")

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        if status != 200:
            return bad_status(status, response.reason or "")
        if directive := self._opted_out(response.headers.getall("X-Robots-Tag", [])):
            return Answer(None, status, "opt_out", f"X-Robots-Tag: {directive}")
        limit = self._limits.max_bytes
        if (response.content_length or 0) > limit:
            return too_large(status, f"{response.content_length} bytes announced", limit)
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                return too_large(status, f"more than {limit} bytes", limit)
        return decompressed(bytes(body), status, response.headers.get("Content-Encoding"), limit)

    def _opted_out(self, values: Sequence[str]) -> str | None:
        """Return the header's line that forbids the use; img2dataset's reading of the header."""
        for value in values:
            agent, colon, rest = value.partition(":")
            directives = {part.strip().lower() for part in (rest if colon else agent).split(",")}
            meant = not colon or agent.strip().lower() == self._token
            if meant and directives & self._disallowed:
                return value[:200]
        return None


def parse(url: str) -> URL:
    """Return the URL, without fragment.

    Raises:
        ValueError: not an absolute http or https URL with a host.
    """
    stripped = url.strip()
    if len(stripped) > _MAX_URL:
        raise ValueError(f"longer than {_MAX_URL} characters")
    parsed = URL(stripped)
    if parsed.scheme not in ("http", "https"):
        raise ValueError(f"scheme {parsed.scheme!r} is not http or https")
    if not parsed.host:
        raise ValueError("no host")
    literal(parsed.host)
    return parsed.with_fragment(None)


def bad_status(status: int, phrase: str) -> Answer:
    """Return the answer of a status that is not 200: ``http_404``, ``http_5xx``, ``http_other``."""
    if 400 <= status < 500:
        reason = f"http_{status}"
    else:
        reason = "http_5xx" if 500 <= status < 600 else "http_other"
    again = reason == "http_5xx" or status in (408, 425, 429)
    return Answer(None, status, reason, f"HTTP {status} {phrase[:100]}".strip(), again)


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
    undo = zlib.decompressobj(wbits=47 if "gzip" in name else 15)
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
_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, bool], ...] = (
    ((aiohttp.ClientSSLError, ssl.SSLError), "tls", False),
    ((aiohttp.ServerTimeoutError,), "timeout", True),
    ((aiohttp.ClientPayloadError,), "truncated_body", True),
    ((aiohttp.InvalidURL, ValueError), "bad_url", False),
    ((aiohttp.ClientConnectionError, OSError), "connect", True),
)


def failure(error: Exception) -> Answer:
    """Return the class of what went wrong below HTTP."""
    detail = (" ".join(str(error).split()) or type(error).__name__)[:300]
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        temporary = error.os_error.errno == socket.EAI_AGAIN
        return Answer(reason="dns", detail=detail, again=temporary)
    for classes, reason, again in _FAILURES:
        if isinstance(error, classes):
            return Answer(reason=reason, detail=detail, again=again)
    return Answer(reason="protocol", detail=detail)
