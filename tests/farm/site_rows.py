"""Names and addresses, TLS, robots.txt, opt-outs."""

from __future__ import annotations

from tests.farm.behaviour import (
    DECODED,
    PAGE,
    Behaviour,
    forever,
    head,
    redirect,
    reply,
    steps,
)
from tests.farm.pictures import JPEG
from tests.farm.server import FORBIDDEN, RESET

_OK = reply(JPEG)
_SECURE = ("https://HOST/x",)
_B = Behaviour


def _url(name: str, does: str, ends: str, url: str) -> Behaviour:
    return _B(name, does, ends, _OK, urls=(url,))


NAMES = (
    _url("dns-unknown", "a name that does not exist", "dns", "http://nowhere.names.test/"),
    _url("dns-out", "a name server that is out", "dns", "http://later.names.test/"),
    _url("dns-slow", "a name server that does not answer", "timeout", "http://slow.names.test/"),
    _url(
        "dns-inside",
        "a name at the forbidden address",
        "private_address",
        "http://inside.names.test:PORT_forbidden/",
    ),
    _url(
        "dns-metadata",
        "a name at 169.254.169.254",
        "private_address",
        "http://metadata.names.test/",
    ),
    _url(
        "dns-several",
        "a name at several private addresses",
        "private_address",
        "http://several.names.test:PORT_forbidden/",
    ),
    _url(
        "dns-rebinding",
        "a name that is elsewhere at each look",
        "private_address",
        "http://rebinding.names.test:PORT_forbidden/",
    ),
    _url("idna", "a host beyond ASCII", DECODED, "http://idna-COPY.b\u00fccher.test/x"),
    _url("idna-upper", "the same in capitals", DECODED, "http://IDNA-COPY.B\u00dcCHER.TEST/x"),
    _url("path-utf8", "a path beyond ASCII", DECODED, "http://HOST/\u00e4 \u2603"),
    _url("dot", "a host with a dot at its end", DECODED, "http://HOST./x"),
    _url("userinfo", "user name and password in the URL", DECODED, "http://user:secret@HOST/x"),
    _url("label-long", "a host of a 70-letter label", "bad_url", f"http://{'a' * 70}.farm.test/x"),
    _url("label-empty", "a host with two dots in a row", "bad_url", "http://a..farm.test/x"),
    _url(
        "literal-forbidden",
        "the forbidden address itself",
        "private_address",
        f"http://{FORBIDDEN}:PORT_forbidden/",
    ),
    _url("literal-v6", "the IPv6 loopback", "private_address", "http://[::1]:PORT_v6/x"),
    _url(
        "literal-mapped",
        "the forbidden address, IPv6-mapped",
        "private_address",
        f"http://[::ffff:{FORBIDDEN}]:PORT_forbidden/",
    ),
    _url(
        "literal-nat64",
        "the forbidden address behind NAT64",
        "private_address",
        "http://[64:ff9b::7f00:2]:PORT_forbidden/",
    ),
    _url("literal-any", "0.0.0.0", "private_address", "http://0.0.0.0:PORT_http/x"),
    _url("literal-multicast", "a multicast address", "private_address", "http://224.0.0.1/x"),
    _url("literal-octal", "an address in octal", "bad_url", "http://0177.0.0.02:PORT_forbidden/"),
    _url("literal-short", "an address cut short", "bad_url", "http://127.2:PORT_forbidden/"),
    _B("v6", "a server on IPv6", DECODED, _OK, port="v6"),
    _url("port-mail", "a mail server's port", "bad_url", "http://HOST:25/x"),
    _url("port-none", "a port beyond 65535", "bad_url", "http://HOST:99999/x"),
    _url("scheme-ftp", "`ftp:`", "bad_url", "ftp://HOST/x"),
    _url("scheme-file", "`file:`", "bad_url", "file:///etc/passwd"),
    _url("scheme-data", "`data:`", "bad_url", "data:image/gif;base64,R0lGODlhAQABAAAAACw="),
    _url("relative", "a relative URL", "bad_url", "pictures/a.jpg"),
    _url("url-long", "a URL of 9,000 characters", "bad_url", "http://HOST/" + "a" * 9000),
    _url("url-injection", "a line break in the URL", DECODED, "http://HOST/x\r\nX-Evil: 1"),
    _url("url-blank", "spaces alone", "no_url", "   "),
)


def _tls(name: str, does: str, ends: str, port: str | None = None) -> Behaviour:
    return _B(f"tls-{name}", does, ends, _OK, urls=_SECURE, port=port or name)


TLS = (
    _tls("good", "a good certificate", DECODED),
    _tls("expired", "an expired certificate", "tls_certificate"),
    _tls("elsewhere", "another host's certificate", "tls_certificate"),
    _tls("selfsigned", "a self-signed certificate", "tls_certificate"),
    _tls("unknown", "an issuer nobody knows", "tls_certificate"),
    _tls("old", "TLS 1.1 at the most", "tls"),
    _tls("not-at-all", "HTTP on the TLS port", "tls", "noise"),
    _tls("silent", "never shakes hands", "timeout", "silent"),
    _tls("hangup", "closes in mid-handshake", "connect", "hangup"),
    _B(
        "tls-to-plain",
        "https that redirects to http",
        DECODED,
        redirect("http://plain-COPY.farm.test/x"),
        urls=_SECURE,
        port="good",
    ),
    _B(
        "tls-to-expired",
        "https that redirects to an expired certificate",
        "tls_certificate",
        redirect("https://tls-expired-COPY.farm.test/x"),
        urls=_SECURE,
        port="good",
    ),
)


def _robots(
    name: str, does: str, ends: str | tuple[str, ...], text: str, urls: tuple[str, ...] = (PAGE,)
) -> Behaviour:
    pages = {"/robots.txt": reply(text.encode())}
    return _B(f"robots-{name}", does, ends, _OK, urls=urls, pages=pages, asked=int(ends == DECODED))


def _robots_is(name: str, does: str, ends: str, **pages: object) -> Behaviour:
    scripts = {"/robots.txt" if key == "robots" else f"/{key}": page for key, page in pages.items()}
    return _B(f"robots-{name}", does, ends, _OK, pages=scripts)  # type: ignore[arg-type]


_NONE = "User-agent: *\nDisallow: /\n"

ROBOTS = (
    _robots("all", "forbids everything to everybody", "robots", _NONE),
    _robots("us", "forbids everything to us", "robots", "User-agent: curate\nDisallow: /\n"),
    _robots(
        "others", "forbids everything to another", DECODED, "User-agent: otherbot\nDisallow: /\n"
    ),
    _robots(
        "longer-name",
        "forbids everything to `curate-news`",
        DECODED,
        "User-agent: curate-news\nDisallow: /\n",
    ),
    _robots(
        "but-us",
        "forbids everything to everybody but us",
        DECODED,
        _NONE + "User-agent: Curate/2.0\nAllow: /\n",
    ),
    _robots(
        "grouped",
        "names us second in a group, in two groups",
        "robots",
        "User-agent: a\nUser-agent: CURATE\nDisallow: /y\n\nUser-agent: curate\nDisallow: /x\n",
    ),
    _robots(
        "longest", "forbids `/`, allows `/x`", DECODED, "User-agent: *\nDisallow: /\nAllow: /x\n"
    ),
    _robots(
        "tie", "forbids and allows the same", DECODED, "User-agent: *\nDisallow: /x\nAllow: /x\n"
    ),
    _robots(
        "wildcard",
        "forbids `/*.jpg$`",
        ("robots", DECODED),
        "User-agent: *\nDisallow: /*.jpg$\n",
        ("http://HOST/a.jpg", "http://HOST/x"),
    ),
    _robots("escaped", "forbids an escaped path", "robots", "User-agent: *\nDisallow: /%78\n"),
    _robots("empty", "is empty", DECODED, ""),
    _robots("html", "is a web page", DECODED, "<!doctype html><html>not found</html>"),
    _robots("bom", "begins with a byte order mark", "robots", "\ufeff" + _NONE),
    _robots("mac", "has carriage returns for line ends", "robots", _NONE.replace("\n", "\r")),
    _robots("huge", "3 MB of comments behind the rules", "robots", _NONE + "# a\n" * 750_000),
    _robots(
        "many-names",
        "20,000 names over 10,000 rules",
        "robots",
        "User-agent: a\n" * 20_000 + "Disallow: /a*b\n" * 10_000 + _NONE,
    ),
    _robots(
        "slow",
        "asks for 60 s between requests",
        ("host_busy", DECODED),
        "User-agent: *\nCrawl-delay: 60\n",
        (PAGE, PAGE + "?2"),
    ),
    _robots_is("missing", "is missing (404)", DECODED, robots=reply(status="404 Not Found")),
    _robots_is("forbidden", "is forbidden (403)", DECODED, robots=reply(status="403 Forbidden")),
    _robots_is("none", "is 204 No Content", DECODED, robots=steps(head(status="204 No Content"))),
    _robots_is("fails", "its server fails (503)", "robots", robots=reply(status="503 Busy")),
    _robots_is("silent", "is never answered", "timeout", robots=steps(60.0)),
    _robots_is("reset", "is reset", "connect", robots=steps(RESET)),
    _robots_is(
        "endless",
        "never ends",
        "robots",
        robots=forever(b"# a\n" * 10_000, first=head("Connection: close") + _NONE.encode()),
    ),
    _robots_is(
        "moved", "has moved", "robots", robots=redirect("/there"), there=reply(_NONE.encode())
    ),
    _robots_is("loop", "redirects in a loop", DECODED, robots=redirect("/robots.txt")),
    _robots_is(
        "inside",
        "redirects to the forbidden server",
        "robots",
        robots=redirect(f"http://{FORBIDDEN}:PORT_forbidden/robots.txt"),
    ),
    _robots_is(
        "noindex",
        "is itself marked noindex",
        "robots",
        robots=reply(_NONE.encode(), "X-Robots-Tag: noindex"),
    ),
    _B(
        "robots-beyond",
        "the redirect's host forbids",
        "robots",
        redirect("http://robots-all-COPY.farm.test/x"),
    ),
)


def _tag(name: str, does: str, ends: str, *values: str) -> Behaviour:
    lines = [f"X-Robots-Tag: {value}" for value in values]
    return _B(f"tag-{name}", does, ends, reply(JPEG, *lines))


OPT_OUT = (
    *(
        _tag(name, f"`{name}`", "opt_out", name)
        for name in ("noai", "noimageai", "noindex", "noimageindex", "noml")
    ),
    _tag("none", "`none`", "opt_out", "none"),
    _tag("capitals", "`NoAI`", "opt_out", "NoAI"),
    _tag("other", "`otherbot: noai`", DECODED, "otherbot: noai"),
    _tag("us", "`curate: noai`", "opt_out", "curate: noai"),
    _tag("lines", "two lines, the second forbids", "opt_out", "nofollow", "noml"),
    _tag(
        "joined", "`otherbot: noindex, curate: noai`", "opt_out", "otherbot: noindex, curate: noai"
    ),
    _tag(
        "date",
        "`noai, unavailable_after: 1 Jan 2030 10:00:00 GMT`",
        "opt_out",
        "noai, unavailable_after: 1 Jan 2030 10:00:00 GMT",
    ),
    _tag("allows", "`all, max-image-preview: large`", DECODED, "all, max-image-preview: large"),
)
