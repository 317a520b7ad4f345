"""Which network addresses a stranger's URL may lead to, and a resolver that enforces it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Mapping
from concurrent.futures import Executor

from aiohttp.abc import AbstractResolver, ResolveResult

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


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses, and named exceptions to what the recipe says.

    A connection goes to an address that came from here, so a name that answers differently the
    second time gains nothing.
    """

    def __init__(
        self, executor: Executor, *, allow_hosts: Collection[str], connect_to: Mapping[str, str]
    ) -> None:
        """Build the resolver.

        Args:
            executor: threads for the system's resolver.
            allow_hosts: host names whose private addresses are accepted.
            connect_to: ``host:port`` to ``address:port``.
        """
        self._executor = executor
        self._allow_hosts = frozenset(allow_hosts)
        self._connect_to = dict(connect_to)

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
            return [_result(host, address.strip("[]"), int(other_port))]
        addresses = await asyncio.get_running_loop().run_in_executor(
            self._executor, _look_up, host, port, family
        )
        if host in self._allow_hosts:
            return [_result(host, address, port) for address in addresses]
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise PrivateAddress(f"{host} is at {', '.join(addresses)}")
        return [_result(host, address, port) for address in public]

    async def close(self) -> None:
        """Keep the executor: it belongs to the stage."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[str]:
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
