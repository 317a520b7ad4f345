"""Download pictures by URL: concurrent, bounded, polite, with a reason for every failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import cv2
import pyarrow as pa
from pydantic import Field, field_validator

from curate.core.columns import HTTP_STATUS
from curate.core.config import tuning
from curate.core.resources import Resources
from curate.core.stage import Mapped, MapStage
from curate.core.version import __version__
from curate.stages.download._addresses import PublicResolver, literal
from curate.stages.download._client import Answer, Fetcher, Limits
from curate.stages.download._pictures import FIELDS, Outcome, PictureConfig, with_pictures

_DNS_THREADS = 32
_DNS_TTL_S = 600

_T = TypeVar("_T")


class Config(PictureConfig):
    """Download ``url``, check, resize and encode; rows that fail stop with a reason.

    Reasons: ``no_url``, ``bad_url``, ``dns``, ``connect``, ``tls``, ``timeout``, ``deadline``,
    ``http_404`` (each 4xx by number), ``http_5xx``, ``http_other``, ``too_many_redirects``,
    ``bad_redirect``, ``private_address``, ``opt_out``, ``too_large`` (bytes, or
    ``max_image_area``), ``truncated_body``, ``protocol``, and those of ``ImageFault``.

    Attributes:
        timeout_s: seconds for one attempt, redirects and body included.
        retries: further attempts after time-outs, broken connections, 5xx and 429.
        backoff_s: seconds before the first retry; doubles with each.
        deadline_s: seconds for a whole partition; rows not done by then stop as ``deadline``.
        max_redirects: redirects followed for one URL.
        concurrency: requests in flight for one partition.
        per_host: of these, to one host.
        user_agent: what the requests say they come from.
        user_agent_token: name by which ``X-Robots-Tag`` may address us; added to ``user_agent``.
        disallowed_header_directives: directives of ``X-Robots-Tag`` that are honoured.
        allow_hosts: hosts and addresses that may lie in private networks.
        resolve: ``host:port`` to ``address:port``, as curl's ``--connect-to``; an entry here is
            allowed wherever it leads.
    """

    timeout_s: float = tuning(10.0, gt=0, le=3600)
    retries: int = tuning(2, ge=0, le=10)
    backoff_s: float = tuning(0.5, ge=0, le=60)
    deadline_s: float = tuning(900.0, gt=0, le=86_400)
    max_redirects: int = Field(5, ge=0, le=20)
    concurrency: int = tuning(64, ge=1, le=4096)
    per_host: int = tuning(8, ge=1, le=4096)
    user_agent: str = Field(f"curate/{__version__} (image-text dataset builder)", min_length=1)
    user_agent_token: str | None = Field(None, min_length=1)
    disallowed_header_directives: tuple[str, ...] = ("noai", "noimageai", "noindex", "noimageindex")
    allow_hosts: tuple[str, ...] = ()
    resolve: dict[str, str] = tuning({})

    @field_validator("resolve")
    @classmethod
    def _targets(cls, value: dict[str, str]) -> dict[str, str]:
        for name, target in value.items():
            for text in (name, target):
                host, colon, port = text.rpartition(":")
                if not (host and colon and port.isdigit() and 0 < int(port) < 65_536):
                    raise ValueError(f"{text!r} is not of the form host:port")
            if literal(name.rpartition(":")[0].strip("[]")) is not None:
                raise ValueError(f"{name!r} is an address: only names can be led elsewhere")
            if literal(target.rpartition(":")[0].strip("[]")) is None:
                raise ValueError(f"{target!r} does not begin with an address")
        return {name.lower(): target for name, target in value.items()}

    @property
    def reads(self) -> tuple[str, ...]:
        """The address."""
        return ("url",)

    @property
    def writes(self) -> tuple[pa.Field, ...]:
        """The picture's columns and the HTTP status."""
        return (*FIELDS, HTTP_STATUS)

    @property
    def resources(self) -> Resources:
        """Waits on the network and decodes a little."""
        return Resources(num_cpus=1.0, memory_gib=1.0, network=True)

    def build(self) -> Fetch:
        """Build the stage."""
        return Fetch(self)


class Fetch(MapStage):
    """Downloads a partition on an event loop of its own; pictures are decoded in threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None

    def setup(self) -> None:
        """Start the threads that decode and resolve names."""
        # OpenCV would start threads of its own in each of ours.
        cv2.setNumThreads(1)
        self._pools = (
            ThreadPoolExecutor(self._config.decode_threads, "curate-decode"),
            ThreadPoolExecutor(_DNS_THREADS, "curate-dns"),
        )

    def close(self) -> None:
        """Stop the threads; a name server that does not answer is not waited for."""
        for pool in self._pools or ():
            pool.shutdown(wait=False, cancel_futures=True)
        self._pools = None

    def __call__(self, rows: pa.Table) -> Mapped:
        """Download one partition; results in row order."""
        urls = rows["url"].to_pylist()
        calls = _run(self._download(urls)) if urls else []
        statuses = pa.array([call.status for call in calls], HTTP_STATUS.type)
        return with_pictures(
            rows,
            [call.outcome for call in calls],
            extra={HTTP_STATUS.name: statuses},
            extra_fields=(HTTP_STATUS,),
            notes={
                "bytes": float(sum(call.num_bytes for call in calls)),
                "requests": float(sum(call.attempts for call in calls)),
                "retries": float(sum(max(0, call.attempts - 1) for call in calls)),
            },
        )

    async def _download(self, urls: list[str | None]) -> list[_Call]:
        calls = [_Call(url) for url in urls]
        config = self._config
        slots = _Slots(
            asyncio.Semaphore(config.concurrency),
            defaultdict(lambda: asyncio.Semaphore(config.per_host)),
        )
        async with self._session() as session:
            fetcher = Fetcher(
                session,
                Limits(config.timeout_s, config.max_bytes, config.max_redirects),
                allow_hosts=config.allow_hosts,
                user_agent_token=(config.user_agent_token or "").strip().lower() or None,
                disallowed=[name.strip().lower() for name in config.disallowed_header_directives],
            )
            tasks = [
                asyncio.create_task(self._row(call, fetcher, slots)) for call in calls if call.url
            ]
            if tasks:
                await _until(tasks, config.deadline_s)
        return calls

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        assert self._pools is not None, "the stage is set up"
        config = self._config
        resolver = PublicResolver(
            self._pools[1],
            allow_hosts=[host.lower() for host in config.allow_hosts],
            connect_to=config.resolve,
        )
        connector = aiohttp.TCPConnector(limit=0, resolver=resolver, ttl_dns_cache=_DNS_TTL_S)
        agent = config.user_agent
        if config.user_agent_token:
            agent += f" (compatible; {config.user_agent_token})"
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            headers={
                "User-Agent": agent,
                "Accept": "image/*,*/*;q=0.1",
                "Accept-Encoding": "identity",
            },
        ) as session:
            yield session

    async def _row(self, call: _Call, fetcher: Fetcher, slots: _Slots) -> None:
        assert self._pools is not None and call.url is not None
        host = slots.hosts[_host(call.url)]
        for attempt in range(self._config.retries + 1):
            if attempt:
                await asyncio.sleep(self._config.backoff_s * 2 ** (attempt - 1))
            async with host, slots.all:
                call.attempts += 1
                answer = await fetcher.get(call.url)
                call.take(answer)
                if answer.body is not None:
                    loop = asyncio.get_running_loop()
                    prepare = self._config.prepare
                    call.outcome = await loop.run_in_executor(self._pools[0], prepare, answer.body)
            if not answer.again:
                return


@dataclass(slots=True)
class _Call:
    """One row under way."""

    url: str | None
    status: int | None = None
    attempts: int = 0
    num_bytes: int = 0
    outcome: Outcome = field(
        default_factory=lambda: Outcome(reason="deadline", detail="not done in time")
    )

    def __post_init__(self) -> None:
        if self.url is None or not self.url.strip():
            self.url = None
            self.outcome = Outcome(reason="no_url")

    def take(self, answer: Answer) -> None:
        """Remember an answer; a body still has to be prepared."""
        self.status = answer.status
        if answer.body is not None:
            self.num_bytes += len(answer.body)
            self.outcome = Outcome(reason="deadline", detail="downloaded, not decoded")
        else:
            self.outcome = Outcome(reason=answer.reason, detail=answer.detail)


@dataclass(frozen=True, slots=True)
class _Slots:
    """Who may send now: so many in all, and so many to one host."""

    all: asyncio.Semaphore
    hosts: defaultdict[str, asyncio.Semaphore]


def _host(url: str) -> str:
    try:
        return (urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return ""


async def _until(tasks: list[asyncio.Task[None]], deadline_s: float) -> None:
    """Wait for the tasks, at most so long; raise what one of them raised."""
    try:
        await asyncio.wait(tasks, timeout=deadline_s)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def _run(work: Coroutine[None, None, _T]) -> _T:
    """Run a coroutine to its end, also from a thread that has a loop already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1, "curate-fetch") as thread:
        return thread.submit(asyncio.run, work).result()
