"""Which network addresses a stranger's URL may lead to, and a resolver that enforces it."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

_UNKNOWN_S, _UNKNOWN_KEPT = 60.0, 100_000

_HOSTS_KEPT = 4096

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddress(Exception):  # noqa: N818 - a fact about the URL
    """A host that lies, or resolves, inside a private, loopback, link-local or reserved network."""


def is_public(address: str) -> bool:
    """Whether a literal address is reachable on the public internet.

    IPv4 addresses hidden in IPv6 ones (mapped, 6to4, Teredo, NAT64) are judged as what they hide.

    Raises:
        ValueError: not an address.

    Example:
        >>> is_public("169.254.169.254"), is_public("::ffff:127.0.0.1"), is_public("1.1.1.1")
        (False, False, True)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return _is_global(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip.ipv4_mapped is not None:
            return _is_global(ip.ipv4_mapped)
        tunnelled = (ip.sixtofour, *(ip.teredo or ()))
        if any(inner is not None and not _is_global(inner) for inner in tunnelled):
            return False
    return _is_global(ip)


def _is_global(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


@functools.lru_cache(maxsize=_HOSTS_KEPT)
def literal(host: str) -> str | None:
    """Return the address when the host is one, None when it is a name.

    Raises:
        ValueError: a number that systems read as an address in disguise (``127.1``,
            ``2130706433``, ``0x7f.0.0.1``).
    """
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2].lower()
        if last.isdigit() or (last.startswith("0x") and set(last[2:]) <= set("0123456789abcdef")):
            raise ValueError(f"{host!r} is no plain address") from None
        return None


#: Looks a name up: (host, port, family) to addresses; raises ``OSError``.
LookUp = Callable[[str, int, socket.AddressFamily], list[str]]


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses, and named exceptions to what the recipe says.

    A connection goes to an address that came from here, so a name that answers differently the
    second time gains nothing. Names that do not exist are remembered for a minute, so a list full
    of them does not wear out the name server.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        allow_hosts: Collection[str],
        connect_to: Mapping[str, str],
        look_up: LookUp | None = None,
    ) -> None:
        """Build the resolver.

        Args:
            executor: threads for the system's resolver.
            allow_hosts: host names whose private addresses are accepted.
            connect_to: ``host:port`` to ``address:port``.
            look_up: asks the name servers; the system's resolver when left out.
        """
        self._executor = executor
        self._allow_hosts = frozenset(allow_hosts)
        self._connect_to = dict(connect_to)
        self._look_up = look_up or system_look_up
        self._unknown: dict[str, tuple[float, OSError]] = {}
        self._allowed: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            PrivateAddress: none of them is public.
            OSError: the name does not resolve.
        """
        host = host.rstrip(".").lower()
        target = self._connect_to.get(f"{host}:{port}")
        if target is not None:
            address, _, other_port = target.rpartition(":")
            return [self._allow(_result(host, address.strip("[]"), int(other_port)))]
        addresses = await self._ask(host, port, family)
        if host in self._allow_hosts:
            return [self._allow(_result(host, address, port)) for address in addresses]
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise PrivateAddress(f"{host} is at {', '.join(addresses)}")
        return [_result(host, address, port) for address in public]

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> list[str]:
        now = time.monotonic()
        until, error = self._unknown.get(host, (0.0, OSError()))
        if now < until:
            raise type(error)(*error.args)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, self._look_up, host, port, family
            )
        except OSError as error:
            if error.errno != socket.EAI_AGAIN:
                if len(self._unknown) >= _UNKNOWN_KEPT:
                    self._unknown.clear()
                self._unknown[host] = (now + _UNKNOWN_S, error)
            raise

    def _allow(self, result: ResolveResult) -> ResolveResult:
        self._allowed.add((result["host"], result["port"]))
        return result

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Open the socket for a connection: the last look at the address it will go to.

        Args:
            info: as ``socket.getaddrinfo`` gives it.

        Raises:
            PrivateAddress: not public, and neither resolved for a listed host nor listed itself.
        """
        family, kind, protocol, _, address = info
        host, port = str(address[0]), int(address[1])
        listed = (host, port) in self._allowed or host in self._allow_hosts
        if not listed and not is_public(host):
            raise PrivateAddress(f"the connection would go to {host}")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Keep the executor: it belongs to the stage."""


def system_look_up(host: str, port: int, family: socket.AddressFamily) -> list[str]:
    """Return the addresses that the system's resolver knows for a name.

    Raises:
        OSError: it does not resolve.
    """
    try:
        infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host name") from error
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )
