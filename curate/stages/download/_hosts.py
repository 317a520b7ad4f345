"""One host at a time: requests at once, requests a second, and leaving a dead one alone.

All of it is the state of one worker, kept over its partitions: two workers that have rows of the
same host each keep to the limits.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from curate.stages.download._pace import Pace
from curate.stages.download._robots import Rules

_HOSTS_KEPT = 8192

#: Lines of robots.txt remembered, about 300 bytes each.
_RULES_KEPT = 500_000


class HostDown(Exception):  # noqa: N818 - a fact about the host
    """A host that is not asked now; the message says why and for how long.

    Attributes:
        reason: ``host_down``: it only failed lately, or asked to be left alone; ``host_busy``:
            a row's turn would come too late.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Manners:
    """How a host is treated.

    Attributes:
        per_host: requests to it at once.
        interval_s: seconds between the starts of two requests, 0 for none.
        max_wait_s: seconds a row waits for its place in time at the most.
        failures: rows in a row that failed before it is left alone; 0 for never.
        pause_s: seconds it is left alone, then one request tries.
    """

    per_host: int
    interval_s: float
    max_wait_s: float
    failures: int
    pause_s: float


@dataclass(slots=True)
class Host:
    """What is known of a host.

    Attributes:
        name: host name or address.
        slots: requests at once.
        interval_s: seconds between the starts of two requests.
        users: rows that are at it or wait for it.
        probe: set when the one row that tries a doubtful host is through; None while none does.
        rules: its robots.txt by origin; see ``_robots``.
        weight: lines of these.
    """

    name: str
    slots: asyncio.Semaphore
    interval_s: float
    users: int = 0
    probe: asyncio.Event | None = None
    rules: dict[str, asyncio.Task[Rules]] = field(default_factory=dict)
    weight: int = 0
    _next_at: float = 0.0
    _held_until: float = 0.0
    _failed: int = 0
    _closed_until: float = 0.0
    _why: str = ""

    def ask_leave(self) -> None:
        """Pass when the host may be asked.

        Raises:
            HostDown: not now.
        """
        left_s = self._closed_until - time.monotonic()
        if left_s > 0:
            raise HostDown("host_down", f"{self._why}; not asked for {left_s:.0f} s")

    def doubtful(self, manners: Manners) -> bool:
        """Whether it only failed lately, so that one row should try before the others."""
        return 0 < manners.failures <= self._failed

    def reserve(self, max_wait_s: float) -> float:
        """Take the next place in time; returns the seconds to wait for it.

        Raises:
            HostDown: it would come too late; none is taken.
        """
        now = time.monotonic()
        at = max(now, self._next_at)
        if at - now > max_wait_s:
            raise HostDown("host_busy", f"its turn would come in {at - now:.0f} s")
        self._next_at = at + self.interval_s
        return at - now

    def hold_off(self, seconds: float) -> None:
        """Start nothing before so many seconds have passed, also of those that wait already."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        self._next_at = max(self._next_at, self._held_until)

    def held_s(self) -> float:
        """Return the seconds for which nothing may start."""
        return self._held_until - time.monotonic()

    def shut(self, seconds: float, why: str) -> None:
        """Refuse rows for so many seconds."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)
        self._why = why

    def answered(self) -> None:
        """Forget failures: the host is alive."""
        if self._failed:
            self._failed, self._closed_until = 0, 0.0

    def failed(self, reason: str, manners: Manners) -> None:
        """Count a row that ended in a failure of the host."""
        self._failed += 1
        if manners.failures and self._failed >= manners.failures:
            self.shut(manners.pause_s, f"the last {self._failed} rows failed, now with {reason}")


class Hosts:
    """The hosts lately met; those longest out of use are forgotten first."""

    def __init__(self, manners: Manners, *, most: int = _HOSTS_KEPT) -> None:
        """Know no host yet.

        Args:
            manners: how hosts are treated.
            most: hosts remembered; more only while all of them are in use.
        """
        self.manners = manners
        self._most = most
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def get(self, name: str) -> Host:
        """Return what is known of a host."""
        host = self._hosts.get(name)
        if host is None:
            slots = asyncio.Semaphore(self.manners.per_host)
            host = self._hosts[name] = Host(name, slots, self.manners.interval_s)
            self._forget()
        self._hosts.move_to_end(name)
        return host

    def remember(self, host: Host, rules: int) -> None:
        """Count lines of a robots.txt that a host keeps; too many of all make others go."""
        host.weight += rules
        self._weight += rules
        self._forget()

    def _forget(self) -> None:
        # In batches, so that a list of a million hosts does not look at all of them for each.
        if len(self._hosts) <= self._most + self._most // 8 and self._weight <= _RULES_KEPT:
            return
        newest = next(reversed(self._hosts))
        for name, host in list(self._hosts.items()):
            if len(self._hosts) <= self._most and self._weight <= _RULES_KEPT // 2:
                return
            if not host.users and name != newest:
                del self._hosts[name]
                self._weight -= host.weight


class Turn:
    """A row's place at a host and in the line of all requests; an async context manager.

    The place at the host can be left before the one in the line: a body that waits to be decoded
    holds back new requests, not the host's other rows.
    """

    def __init__(self, hosts: Hosts, pace: Pace) -> None:
        """Be nowhere yet.

        Args:
            hosts: all hosts.
            pace: the line of all requests.
        """
        self.hosts = hosts
        self.pace = pace
        self.host: Host | None = None
        self._at_host = False
        self._in_line = False
        self._probe: asyncio.Event | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave_host()
        self._leave_line()

    async def at(self, name: str) -> Host:
        """Leave where we are and take a place at a host, however long that takes.

        Raises:
            HostDown: it is not asked now.
        """
        self.leave_host()
        self._leave_line()
        host = self.host = self.hosts.get(name)
        host.users += 1
        try:
            await self._wait(host)
        except BaseException:
            host.users -= 1
            raise
        self._at_host = True
        await self.pace.enter()
        self._in_line = True
        return host

    async def _wait(self, host: Host) -> None:
        manners = self.hosts.manners
        host.ask_leave()
        if (wait_s := host.reserve(manners.max_wait_s)) > 0:
            await asyncio.sleep(wait_s)
        while True:
            await host.slots.acquire()
            try:
                while (wait_s := host.held_s()) > 0:
                    await asyncio.sleep(wait_s)
                host.ask_leave()
            except BaseException:
                host.slots.release()
                raise
            if not host.doubtful(manners):
                return
            if host.probe is None:
                host.probe = self._probe = asyncio.Event()
                return
            probe = host.probe
            host.slots.release()
            await probe.wait()

    def leave_host(self) -> None:
        """Give the place at the host back."""
        if self._at_host and self.host is not None:
            self._at_host = False
            self.host.users -= 1
            if self._probe is not None:
                self._probe.set()
                self._probe = self.host.probe = None
            self.host.slots.release()

    def _leave_line(self) -> None:
        if self._in_line:
            self._in_line = False
            self.pace.leave()
