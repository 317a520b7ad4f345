"""One polite, bounded GET: redirects by hand, caps while streaming, every failure with a class."""

from __future__ import annotations

import asyncio
import datetime
import time
from dataclasses import dataclass, replace

import aiohttp
from yarl import URL

from curate.stages.download import _robots
from curate.stages.download._addresses import PrivateAddress, is_public, literal
from curate.stages.download._answers import Answer, bad_status, decompressed, failure, too_large
from curate.stages.download._headers import opted_out, retry_after_s
from curate.stages.download._hosts import HostDown, Hosts, Turn
from curate.stages.download._pace import Pace
from curate.stages.download._patience import Patience
from curate.stages.download._robots import Rules
from curate.stages.download._urls import origin, parse

_REDIRECTS = (301, 302, 303, 307, 308)
_UNPACK_ASIDE_BYTES = 1 << 16
_ROBOTS_GOOD_S = 86_400.0
_ROBOTS_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one GET.

    Attributes:
        timeout_s: seconds on the network, from the connection to the last byte, over all
            redirects; waiting for a place at a host does not count.
        max_bytes: of the body.
        max_redirects: followed before giving up.
    """

    timeout_s: float
    max_bytes: int
    max_redirects: int


@dataclass(frozen=True, slots=True)
class Permissions:
    """What we may do, and under which name.

    Attributes:
        allow_hosts: literal addresses that are accepted though they are not public.
        token: name by which ``X-Robots-Tag`` and robots.txt may address us, lower case.
        disallowed: directives of ``X-Robots-Tag`` that forbid the use, lower case.
        robots_txt: whether robots.txt is obeyed.
        robots_retry_s: seconds after which a robots.txt that could not be had is asked again.
    """

    allow_hosts: frozenset[str]
    token: str
    disallowed: frozenset[str]
    robots_txt: bool
    robots_retry_s: float


class Fetcher:
    """GETs over one session.

    Attributes:
        robots_requests: robots.txt files asked for so far.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limits: Limits,
        permissions: Permissions,
        patience: Patience,
    ) -> None:
        """Build the fetcher.

        Args:
            session: whose connector resolves by ``PublicResolver``.
            limits: caps.
            permissions: what we may do.
            patience: with a host of whose robots.txt nothing is heard.
        """
        self._session = session
        self._limits = limits
        self._may = permissions
        self._patience = patience
        self.robots_requests = 0

    async def get(self, url: str, turn: Turn) -> Answer:
        """GET once, following redirects. Never raises for what a server or a URL may do.

        Args:
            url: absolute.
            turn: taken at every host on the way; on return still held at the last.

        Raises:
            HostDown: a host on the way is not asked now.
        """
        return await self._follow(url, turn, self._limits, page=True)

    async def _follow(self, url: str, turn: Turn, limits: Limits, *, page: bool) -> Answer:
        """GET a page, which robots.txt and opt-outs may forbid, or a robots.txt itself."""
        status: int | None = None
        left_s = limits.timeout_s
        try:
            target = parse(url)
        except ValueError as error:
            return failure(error)
        for _ in range(limits.max_redirects + 1):
            if refusal := self._private(target) or (
                page and self._may.robots_txt and await self._robots(target, turn)
            ):
                return replace(refusal, status=status)
            host = await turn.at(target.raw_host or "")
            begun = time.monotonic()
            answer = await self._ask(target, left_s, limits, page=page, close=host.users <= 1)
            left_s = max(0.001, left_s - (time.monotonic() - begun))
            if not isinstance(answer, str):
                return answer if answer.status else replace(answer, status=status)
            code, _, location = answer.partition(" ")
            status = int(code)
            try:
                target = parse(str(target.join(URL(location))) if location else "")
            except ValueError as error:
                detail = f"HTTP {status} to {location[:200]!r}: {error}"
                return Answer(None, status, "bad_redirect", detail)
        return Answer(None, status, "too_many_redirects", f"more than {limits.max_redirects}")

    async def _ask(
        self, url: URL, left_s: float, limits: Limits, *, page: bool, close: bool
    ) -> Answer | str:
        """Return the answer, or the status and where it redirects to."""
        # A host with no other row in line is not kept open: lists name a host or a million.
        headers = {"Connection": "close"} if close else None
        try:
            async with (
                asyncio.timeout(left_s),
                self._session.get(url, allow_redirects=False, headers=headers) as response,
            ):
                if response.status in _REDIRECTS:
                    return f"{response.status} {response.headers.get('Location', '')}"
                if page:
                    return await self._read(response, limits.max_bytes)
                return await self._read_robots(response)
        except aiohttp.ServerTimeoutError as error:
            return failure(error)
        except TimeoutError:
            return Answer(reason="timeout", detail=f"{limits.timeout_s:g} s in all", again=True)
        except (PrivateAddress, aiohttp.ClientError, OSError, ValueError) as error:
            return failure(error)

    def _private(self, url: URL) -> Answer | None:
        address = literal(url.raw_host or "")
        if address is None or address in self._may.allow_hosts or is_public(address):
            return None
        return failure(PrivateAddress(f"the URL names {address}"))

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> Answer:
        status, headers = response.status, response.headers
        if status != 200:
            return _refused(response)
        lines = headers.getall("X-Robots-Tag", [])
        if line := opted_out(lines, token=self._may.token, disallowed=self._may.disallowed):
            return Answer(None, status, "opt_out", f"X-Robots-Tag: {line}")
        if (response.content_length or 0) > limit:
            return too_large(status, f"{response.content_length} bytes announced", limit)
        body = await _body(response, limit)
        if len(body) > limit:
            return too_large(status, f"more than {limit} bytes", limit)
        return await _unpacked(body, response, limit)

    @staticmethod
    async def _read_robots(response: aiohttp.ClientResponse) -> Answer:
        """Return what a robots.txt says, cut at ``_robots.MAX_BYTES``."""
        if not 200 <= response.status < 300:
            return _refused(response)
        body = await _body(response, _robots.MAX_BYTES)
        if response.headers.get("Content-Encoding") is None:
            return Answer(body[: _robots.MAX_BYTES], response.status)
        return await _unpacked(body, response, _robots.MAX_BYTES)

    # -- robots.txt ----------------------------------------------------------------------------

    async def _robots(self, url: URL, turn: Turn) -> Answer | None:
        """Return why robots.txt keeps us from a URL, or None."""
        host = turn.hosts.get(url.raw_host or "")
        host.ask_leave()
        key = origin(url)
        loading = host.rules.get(key)
        if loading is None or (loading.done() and _stale(loading)):
            loading = host.rules[key] = asyncio.create_task(self._load(key, turn.hosts, turn.pace))
        rules = await asyncio.shield(loading)
        host.interval_s = max(host.interval_s, rules.delay_s)
        if rules.refusal is not None:
            return rules.refusal
        if rules.allows(url.raw_path_qs):
            return None
        return Answer(reason="robots", detail=f"{key}/robots.txt forbids it to {self._may.token}")

    async def _load(self, key: str, hosts: Hosts, pace: Pace) -> Rules:
        """Ask for an origin's robots.txt; RFC 9309, 2.3.1, says what each failure means.

        Where nothing is heard of a host at all, rows end with that failure, not with ``robots``.
        """
        answer: Answer | None = None
        for attempt in range(self._patience.retries + 1):
            await self._patience.pause(attempt)
            try:
                answer = await self._ask_robots(key, Turn(hosts, pace))
            except HostDown as down:  # what the host did before says more
                answer = answer or Answer(reason=down.reason, detail=str(down))
                break
            if answer.status is not None or not answer.again:
                break
        assert answer is not None, "there is a first attempt"
        return self._rules(key, answer, hosts)

    async def _ask_robots(self, key: str, turn: Turn) -> Answer:
        limits = replace(self._limits, max_bytes=_robots.MAX_BYTES, max_redirects=_ROBOTS_REDIRECTS)
        self.robots_requests += 1
        async with turn:
            answer = await self._follow(f"{key}/robots.txt", turn, limits, page=False)
            if turn.host is not None and 0 < (answer.status or 0) < 500:
                turn.host.answered()
            return answer

    def _rules(self, key: str, answer: Answer, hosts: Hosts) -> Rules:
        now = time.monotonic()
        if answer.body is not None:
            text = answer.body.decode("utf-8", "replace")
            rules = _robots.parse(text, self._may.token, good_until=now + _ROBOTS_GOOD_S)
            hosts.remember(hosts.get(URL(key).raw_host or ""), len(rules.rules))
            return rules
        if answer.reason in ("bad_redirect", "too_many_redirects") or (
            400 <= (answer.status or 0) < 500
        ):
            return Rules(good_until=now + _ROBOTS_GOOD_S)
        retry_at = now + self._may.robots_retry_s
        if answer.status is not None:
            answer = replace(answer, reason="robots", again=False)
        detail = f"robots.txt: {answer.detail}"
        return Rules(refusal=replace(answer, detail=detail, again=False), good_until=retry_at)


def _refused(response: aiohttp.ClientResponse) -> Answer:
    now = datetime.datetime.now(datetime.UTC)
    wait_s = retry_after_s(response.headers.get("Retry-After"), now=now)
    return bad_status(response.status, response.reason or "", wait_s)


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body as sent; of a longer one a little more than the limit."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            break
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _unpacked(body: bytes, response: aiohttp.ClientResponse, limit: int) -> Answer:
    encoding = response.headers.get("Content-Encoding")
    if encoding is None or len(body) < _UNPACK_ASIDE_BYTES:
        return decompressed(body, response.status, encoding, limit)
    return await asyncio.to_thread(decompressed, body, response.status, encoding, limit)


def _stale(loading: asyncio.Task[Rules]) -> bool:
    return loading.cancelled() or time.monotonic() > loading.result().good_until
