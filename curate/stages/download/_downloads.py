"""The fetch stage at work: one event loop and one session for all partitions of a worker."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import cv2
import pyarrow as pa

from curate.core.columns import HTTP_STATUS
from curate.core.stage import Mapped, MapStage
from curate.stages.download._addresses import LookUp, PublicResolver
from curate.stages.download._answers import FAILURES_OF_A_HOST, Answer
from curate.stages.download._client import Fetcher, Limits, Permissions
from curate.stages.download._hosts import HostDown, Hosts, Manners, Turn
from curate.stages.download._loop import LoopThread
from curate.stages.download._memory import keep_freed_memory
from curate.stages.download._pace import Pace
from curate.stages.download._patience import Patience
from curate.stages.download._pictures import Outcome, Preparer, with_pictures

if TYPE_CHECKING:
    from curate.stages.download.fetch import Config

_DNS_THREADS = 32
_DNS_TTL_S = 600
_KEEP_ALIVE_S = 10.0
_LONGEST_PAUSE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class _Tools:
    """What lives as long as the stage."""

    loop: LoopThread
    decoders: ThreadPoolExecutor
    resolvers: ThreadPoolExecutor
    prepare: Preparer
    session: aiohttp.ClientSession
    fetcher: Fetcher
    hosts: Hosts
    pace: Pace
    patience: Patience


class Fetch(MapStage):
    """Downloads a partition on an event loop in a thread of its own; decodes in other threads.

    Connections, resolved names, robots.txt and what is known of hosts are kept from one partition
    to the next.
    """

    def __init__(self, config: Config, *, look_up: LookUp | None = None) -> None:
        """Remember what to do.

        Args:
            config: the options.
            look_up: asks the name servers; the system's resolver when left out.
        """
        self._config = config
        self._look_up = look_up
        self._tools: _Tools | None = None

    def setup(self) -> None:
        """Start the loop and the threads that decode and resolve names; open the session."""
        # OpenCV would start threads of its own in each of ours.
        cv2.setNumThreads(1)
        config = self._config
        keep_freed_memory()
        _allow_open_files(2 * config.concurrency + 256)
        prepare = Preparer(config)
        resolvers = ThreadPoolExecutor(_DNS_THREADS, "curate-dns")
        patience = Patience(config.retries, config.backoff_s)
        loop = LoopThread("curate-fetch")
        session = loop.run(_open_session(config, resolvers, self._look_up))
        self._tools = _Tools(
            loop,
            ThreadPoolExecutor(config.decode_threads, "curate-decode"),
            resolvers,
            prepare,
            session,
            _fetcher(config, session, patience),
            Hosts(_manners(config)),
            Pace(config.concurrency),
            patience,
        )

    def close(self) -> None:
        """Hang up and stop the threads; a name server that does not answer is not waited for."""
        tools, self._tools = self._tools, None
        if tools is None:
            return
        tools.loop.run(tools.session.close())
        tools.loop.close()
        for pool in (tools.decoders, tools.resolvers):
            pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, rows: pa.Table) -> Mapped:
        """Download one partition; results in row order."""
        tools = self._tools
        assert tools is not None, "the stage is set up"
        expected = tools.prepare.expected(rows)
        calls = [_Call(*pair) for pair in zip(rows["url"].to_pylist(), expected, strict=True)]
        before = (tools.fetcher.robots_requests, tools.pace.narrowed, tools.pace.taken_s)
        worked = time.process_time()
        if any(call.url for call in calls):
            tools.loop.run(self._download(calls, tools))
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
                "robots_requests": float(tools.fetcher.robots_requests - before[0]),
                "slowdowns": float(tools.pace.narrowed - before[1]),
                # what the partition would take with every place taken all the time
                "full_flight_s": (tools.pace.taken_s - before[2]) / self._config.concurrency,
                "cpu_s": time.process_time() - worked,
            },
        )

    async def _download(self, calls: Sequence[_Call], tools: _Tools) -> None:
        tasks = [asyncio.create_task(self._row(call, tools)) for call in calls if call.url]
        await _until(tasks, self._config.deadline_s)

    async def _row(self, call: _Call, tools: _Tools) -> None:
        assert call.url is not None
        config = self._config
        for attempt in range(config.retries + 1):
            await tools.patience.pause(attempt)
            async with Turn(tools.hosts, tools.pace) as turn:
                try:
                    answer = await tools.fetcher.get(call.url, turn)
                except HostDown as down:
                    if not attempt:  # else what the host did before says more
                        call.take(Answer(reason=down.reason, detail=str(down)))
                    return
                call.attempts += turn.host is not None
                call.take(answer)
                last = not answer.again or attempt == config.retries
                last = _note(answer, turn, tools, config, last=last) or last
                if answer.body is not None:
                    turn.leave_host()
                    call.outcome = await asyncio.get_running_loop().run_in_executor(
                        tools.decoders, tools.prepare, answer.body, call.expected
                    )
            if last:
                return


def _note(answer: Answer, turn: Turn, tools: _Tools, config: Config, *, last: bool) -> bool:
    """Let the host and the pace learn from an answer; returns whether to give the row up."""
    host = turn.host
    if host is None:  # nobody was asked
        return False
    tools.pace.judge(host.name, timed_out=answer.reason == "timeout")
    if answer.reason not in FAILURES_OF_A_HOST:
        host.answered()
    elif last and not (answer.reason == "dns" and answer.again):
        # A name server that is out for a moment says nothing of the host.
        host.failed(answer.reason, tools.hosts.manners)
    if answer.wait_s is None:
        return False
    if answer.wait_s <= config.retry_after_max_s:
        host.hold_off(answer.wait_s)
        return False
    host.shut(min(answer.wait_s, _LONGEST_PAUSE_S), f"HTTP {answer.status} asked to be left alone")
    return True


@dataclass(slots=True)
class _Call:
    """One row under way."""

    url: str | None
    expected: str | None = None
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


def _manners(config: Config) -> Manners:
    return Manners(
        per_host=config.per_host,
        interval_s=config.interval_s,
        max_wait_s=config.host_wait_s,
        failures=config.host_failures,
        pause_s=config.host_pause_s,
    )


def _fetcher(config: Config, session: aiohttp.ClientSession, patience: Patience) -> Fetcher:
    directives = config.disallowed_header_directives
    return Fetcher(
        session,
        Limits(config.timeout_s, config.max_bytes, config.max_redirects),
        Permissions(
            allow_hosts=frozenset(config.allow_hosts),
            token=config.token,
            disallowed=frozenset(name.strip().lower() for name in directives),
            robots_txt=config.robots_txt,
            robots_retry_s=config.host_pause_s,
        ),
        patience,
    )


async def _open_session(
    config: Config, resolvers: ThreadPoolExecutor, look_up: LookUp | None
) -> aiohttp.ClientSession:
    resolver = PublicResolver(
        resolvers,
        allow_hosts=[host.lower() for host in config.allow_hosts],
        connect_to=config.resolve,
        look_up=look_up,
    )
    connector = aiohttp.TCPConnector(
        limit=0,
        resolver=resolver,
        ttl_dns_cache=_DNS_TTL_S,
        keepalive_timeout=_KEEP_ALIVE_S,
        socket_factory=resolver.open_socket,
        ssl=ssl.create_default_context(),
    )
    agent = config.user_agent
    if config.user_agent_token:
        agent += f" (compatible; {config.user_agent_token.strip()})"
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, connect=config.connect_timeout_s, sock_read=config.idle_timeout_s
        ),
        auto_decompress=False,
        headers={
            "User-Agent": agent,
            "Accept": "image/*,*/*;q=0.1",
            "Accept-Encoding": "identity",
        },
    )


async def _until(tasks: Sequence[asyncio.Task[None]], deadline_s: float) -> None:
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


def _allow_open_files(count: int) -> None:
    """Raise this process's limit of open files as far as needed and allowed."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
