"""Who may talk to the application: a browser on this machine that was given the token.

The server listens on a loopback address. Other users of the machine do not know the token; other
pages in the same browser cannot read it (HttpOnly), are not sent it along (SameSite=Strict), and do
not know the second secret that every POST must carry. Browsers send a host's cookies to each of its
ports, so the cookie is for a folder that no other server of this machine is asked for. A name that
a stranger points at 127.0.0.1 (DNS rebinding) is refused by its Host header. What is shown cannot
run: no script but the application's own files, nothing from elsewhere.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from curate.core.errors import CurateError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The header that carries the second secret.
HEADER = "X-Curate-Key"
_HOSTS = ("127.0.0.1", "localhost")
_USUAL_PORT = 80
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Guard:
    """The secrets of one start of the application.

    Attributes:
        token: opens the application; in the address that is printed, then in a cookie.
        key: every POST carries it; the page learns it from an answer no other page can read.
        base: beginning of every path but the one that the token opens; another one at each start,
            so that a browser shows no picture that it kept of another run.
        port: that the server listens on; 0 until it does.
    """

    token: str = field(default_factory=_secret)
    key: str = field(default_factory=_secret)
    base: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(12)}")
    port: int = 0

    @property
    def cookie(self) -> str:
        """Name of the cookie; ports share cookies, so it names its own."""
        return f"curate_view_{self.port}"

    @property
    def hosts(self) -> set[str]:
        """What the Host header may say; browsers leave the usual port out."""
        bare = set(_HOSTS) if self.port == _USUAL_PORT else set()
        return bare | {f"{name}:{self.port}" for name in _HOSTS}

    @property
    def address(self) -> str:
        """Where a browser opens the application."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer those who may talk to the application, and give every answer its headers."""
        response = await self._answer(request, handler)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        opens = request.path == "/" and "token" in request.query
        objection = self._objection(request, opens=opens)
        if objection is not None:
            return web.json_response({"error": objection}, status=403)
        if opens:
            return self._welcome()
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return web.json_response({"error": answer.reason}, status=answer.status)
        except CurateError as error:
            return web.json_response({"error": str(error)}, status=400)

    def _objection(self, request: web.Request, *, opens: bool) -> str | None:
        """Return why a request is not answered; None where it is."""
        host = request.headers.get("Host", "")
        if host not in self.hosts:
            return "this address is not the application's: open the one it printed"
        given = request.query["token"] if opens else request.cookies.get(self.cookie, "")
        if not _same(given, self.token):
            return "open the address that 'curate view' printed: it holds the token"
        if request.method in ("GET", "HEAD"):
            return None
        if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            return "another page asked for this"
        if not _same(request.headers.get(HEADER, ""), self.key):
            return f"{HEADER} is missing or wrong: load the page again"
        return None

    def _welcome(self) -> web.StreamResponse:
        """Turn the token of an address into a cookie, so that it does not stay in the address."""
        response = web.Response(status=303, headers={"Location": f"{self.base}/"})
        response.set_cookie(
            self.cookie, self.token, httponly=True, samesite="Strict", path=f"{self.base}/"
        )
        return response


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
