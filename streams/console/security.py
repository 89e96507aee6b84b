"""Who may ask, and what a browser may do with the answer: host, token, cross-site requests, security headers."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from streams.errors import SettingsError

COOKIE = "churn_console"
SESSION_S = 12 * 3600
SESSIONS_KEPT = 1_000
# Guessing a token of 16 characters at one try in half a second outlasts everybody.
LEAST_TOKEN_CHARACTERS = 16
_REFUSAL_S = 0.5

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_OPEN_PATHS = ("/login", "/static/")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Whether an address to bind is of this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ConsoleSecurity:
    """Made once; `middleware` is in front of every request.

    1. The Host header names this machine, an IP address (which no DNS answer can rebind) or a name that was allowed.
    2. Where there is a token, a session that a login has made.
    3. Whatever is no GET comes from our own page: same origin, and a token that only our pages hold.

    Raises:
        SettingsError: another address than loopback without a token, or one that is too short.
    """

    def __init__(self, bind: str, token: str, names: str = "") -> None:
        if not token and not is_loopback(bind):
            raise SettingsError(
                f"the console on {bind} can be reached by others and needs a token: set CHURN_CONSOLE_TOKEN, or bind to"
                " 127.0.0.1"
            )
        if token and len(token) < LEAST_TOKEN_CHARACTERS:
            raise SettingsError(f"CHURN_CONSOLE_TOKEN must have at least {LEAST_TOKEN_CHARACTERS} characters")
        self.locked = bool(token)
        self._token = token.encode()
        self._names = {"localhost", bind.lower()} | {name.strip().lower() for name in names.split(",") if name.strip()}
        self._secret = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, float] = OrderedDict()

    @property
    def middleware(self) -> Middleware:
        """For aiohttp."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = await self._guarded(request, handler)
            except web.HTTPException as refused:
                refused.headers.update(_headers(request))
                raise
            if not response.prepared:
                response.headers.update(_headers(request))
            return response

        return guarded

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.host_allowed(request.host):
            raise web.HTTPMisdirectedRequest(
                text="This host name is not known to the console: add it to CHURN_CONSOLE_HOSTS.\n"
            )
        if self.locked and not self.knows(request) and not request.path.startswith(_OPEN_PATHS):
            if request.method == "GET" and request.path != "/live":
                raise web.HTTPSeeOther("/login")
            raise web.HTTPForbidden(text="Log in first.\n")
        if request.method not in ("GET", "HEAD"):
            await self._check_origin(request)
        return await handler(request)

    def host_allowed(self, header: str) -> bool:
        """Whether a Host header is of ours."""
        try:
            name = (urlsplit(f"//{header}").hostname or "").lower()
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    async def _check_origin(self, request: web.Request) -> None:
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site not in (None, "same-origin") or (origin is not None and urlsplit(origin).netloc != request.host):
            raise web.HTTPForbidden(text="This request comes from another site.\n")
        if request.path == "/login":
            return
        given = str((await request.post()).get("csrf", ""))
        if not hmac.compare_digest(given.encode(), self.csrf(request).encode()):
            raise web.HTTPForbidden(text="The page is out of date: load it again.\n")

    def csrf(self, request: web.Request) -> str:
        """What forms carry; only our own pages know it, and another session has another."""
        return hmac.new(self._secret, request.cookies.get(COOKIE, "").encode(), "sha256").hexdigest()

    def knows(self, request: web.Request) -> bool:
        """Whether the request has a session."""
        until = self._sessions.get(request.cookies.get(COOKIE, ""), 0.0)
        return until > time.monotonic()

    async def log_in(self, request: web.Request, given: str) -> web.Response | None:
        """The answer with a cookie, None for a wrong token (which is told after half a second)."""
        if not self.locked or not hmac.compare_digest(given.encode(), self._token):
            await asyncio.sleep(_REFUSAL_S)
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = time.monotonic() + SESSION_S
        while len(self._sessions) > SESSIONS_KEPT:
            self._sessions.popitem(last=False)
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            COOKIE, session, httponly=True, samesite="Strict", secure=request.secure, path="/", max_age=SESSION_S
        )
        return response

    def log_out(self, request: web.Request) -> web.Response:
        """Forget the session."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(COOKIE, path="/")
        return response


def _headers(request: web.Request) -> dict[str, str]:
    cached = "max-age=3600" if request.path.startswith("/static/") else "no-store"
    return {**HEADERS, "Cache-Control": cached}
