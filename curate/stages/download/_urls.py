"""Which URLs are fetched: absolute, http or https, a host, a port that is not another service's."""

from __future__ import annotations

from yarl import URL

from curate.stages.download._addresses import literal

_MAX_URL = 8192

#: Ports of services that a GET could be made to speak to: mail, shells, databases of names...
#: Source: https://fetch.spec.whatwg.org/#port-blocking
_BAD_PORTS = frozenset(
    {
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060),
        *(5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)


def parse(url: str) -> URL:
    """Return the URL without fragment, user name and password; a host beyond ASCII as IDNA.

    Raises:
        ValueError: not an absolute http or https URL of a host on a usable port.
    """
    stripped = url.strip()
    if len(stripped) > _MAX_URL:
        raise ValueError(f"longer than {_MAX_URL} characters")
    parsed = URL(stripped)
    if parsed.scheme not in ("http", "https"):
        raise ValueError(f"scheme {parsed.scheme!r} is not http or https")
    host = parsed.raw_host
    if not host:
        raise ValueError("no host")
    if literal(host) is None:
        labels = host.rstrip(".").split(".")
        if len(host) > 254 or not all(0 < len(label) < 64 for label in labels):
            raise ValueError(f"{host[:80]!r} is no host name")
    if parsed.port in _BAD_PORTS:
        raise ValueError(f"port {parsed.port} is not for HTTP")
    return parsed.with_fragment(None).with_user(None)


def origin(url: URL) -> str:
    """Return scheme, host and port as they stand in front of a path.

    Example:
        >>> origin(URL("http://a.test:80/b"))
        'http://a.test'
    """
    return str(url.origin())


def host_of(url: str) -> str:
    """Return the host of a URL that may be none; empty then."""
    try:
        return parse(url).raw_host or ""
    except ValueError:
        return ""
