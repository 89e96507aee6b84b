"""Access control: host names, token sessions, cross-site requests, and security headers."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from streams.console.address import is_loopback
from streams.console.forms import read_form
from streams.console.login_attempts import LoginAttempts
from streams.console.token_strength import MIN_BITS, token_bits
from streams.console.trusted_proxies import TrustedProxies
from streams.errors import SettingsError
from streams.logs import get_logger

log = get_logger(__name__)

COOKIE = "churn_console"
SESSION_S = 12 * 3600
SESSIONS_KEPT = 1_000
MIN_TOKEN_CHARACTERS = 16
_WRONG_TOKEN_DELAY_S = 0.5

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
# Orchestrators have no token; without a session, the answer contains nothing but whether all is well.
HEALTH_PATHS = ("/healthz", "/readyz")
_OPEN_PATHS = ("/login", "/static/", *HEALTH_PATHS)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ConsoleSecurity:
    """Checks every request, as aiohttp `middleware`.

    1. The Host header is localhost, the bound host, an IP address (which DNS rebinding cannot change) or allowed.
    2. If there is a token, the request has the session of a login.
    3. A request other than GET comes from the console's own pages: same origin, and with the pages' CSRF token.

    Args:
        bind: The address that the server binds to.
        token: The token to log in with; empty for no login.
        names: Allowed host names, comma separated.
        proxies: Trusted reverse proxies, comma separated.

    Raises:
        SettingsError: the address is not loopback and there is no token, or the token is too short or easy to guess.

    Attributes:
        attempts: Logins, which are limited.
    """

    def __init__(self, bind: str, token: str, names: str = "", proxies: str = "") -> None:
        if not token and not is_loopback(bind):
            raise SettingsError(
                f"the console on {bind} is reachable from other machines and needs a token: set CHURN_CONSOLE_TOKEN, or"
                " bind to 127.0.0.1"
            )
        if token and len(token) < MIN_TOKEN_CHARACTERS:
            raise SettingsError(f"CHURN_CONSOLE_TOKEN must have at least {MIN_TOKEN_CHARACTERS} characters")
        if token and token_bits(token) < MIN_BITS:
            raise SettingsError(
                "CHURN_CONSOLE_TOKEN is too easy to guess: use a random one, such as that of: openssl rand -hex 16"
            )
        self.locked = bool(token)
        self.attempts = LoginAttempts()
        self._proxies = TrustedProxies(proxies)
        self._token = token.encode()
        self._names = {"localhost", bind.lower()} | {name.strip().lower() for name in names.split(",") if name.strip()}
        self._secret = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, float] = OrderedDict()

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware."""

        @web.middleware
        async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = await self._handle(request, handler)
            except web.HTTPException as error:
                error.headers.update(_headers(request))
                raise
            except Exception as failure:
                log.error("%s %s failed: %r", request.method, request.path, failure, exc_info=failure)
                response = web.Response(status=500, text="The console failed to answer. The reason is in its log.\n")
            if not response.prepared:
                response.headers.update(_headers(request))
            return response

        return checked

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.host_allowed(request.host):
            raise web.HTTPMisdirectedRequest(
                text="The console does not accept this host name. Add it to CHURN_CONSOLE_HOSTS.\n"
            )
        if self.locked and not self.has_session(request) and not request.path.startswith(_OPEN_PATHS):
            if request.method == "GET" and request.path != "/live":
                raise web.HTTPSeeOther("/login")
            raise web.HTTPForbidden(text="Log in first.\n")
        if request.method not in ("GET", "HEAD"):
            await self._check_origin(request)
        return await handler(request)

    def host_allowed(self, header: str) -> bool:
        """Whether a Host header names this console."""
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
        if site not in (None, "same-origin") or (origin is not None and not _names_host(origin, request.host)):
            raise web.HTTPForbidden(text="This request was sent from another site.\n")
        if request.path == "/login":
            return
        sent = (await read_form(request)).get("csrf", "")
        if not hmac.compare_digest(sent.encode(), self.csrf(request).encode()):
            raise web.HTTPForbidden(text="The page is outdated. Reload it and try again.\n")

    def csrf(self, request: web.Request) -> str:
        """The CSRF token of the forms in this session; only the console's own pages contain it."""
        return hmac.new(self._secret, request.cookies.get(COOKIE, "").encode("utf-8", "replace"), "sha256").hexdigest()

    def has_session(self, request: web.Request) -> bool:
        """Whether the request has a valid session."""
        return self._is_valid(self.session(request))

    def session(self, request: web.Request) -> str:
        """The session that the request names, valid or not; empty if the console needs no login."""
        return request.cookies.get(COOKIE, "") if self.locked else ""

    def serves(self, session: str) -> bool:
        """Whether pages of a session are still served."""
        return not self.locked or self._is_valid(session)

    @property
    def sessions(self) -> int:
        """Number of valid sessions."""
        return sum(self._is_valid(session) for session in list(self._sessions))

    def _is_valid(self, session: str) -> bool:
        return self._sessions.get(session, 0.0) > time.monotonic()

    async def log_in(self, request: web.Request, token: str) -> web.Response | None:
        """Return a response with a session cookie, or None for a wrong token, after half a second.

        Raises:
            web.HTTPTooManyRequests: the address, or all together, failed too often.
        """
        address = self._proxies.client(request.remote, request.headers)
        if wait_s := self.attempts.begin(address):
            error = web.HTTPTooManyRequests(text="Too many failed logins. Try again in a few minutes.\n")
            error.headers["Retry-After"] = str(math.ceil(wait_s))
            raise error
        if not self.locked or not hmac.compare_digest(token.encode(), self._token):
            self.attempts.failed(address)
            await asyncio.sleep(_WRONG_TOKEN_DELAY_S)
            return None
        self.attempts.succeeded(address)
        session = secrets.token_urlsafe(32)
        self._sessions[session] = time.monotonic() + SESSION_S
        while len(self._sessions) > SESSIONS_KEPT:
            self._sessions.popitem(last=False)
        response = web.Response(status=303, headers={"Location": "/"})
        secure = request.secure or self._proxies.secure(request.remote, request.headers)
        response.set_cookie(
            COOKIE, session, httponly=True, samesite="Strict", secure=secure, path="/", max_age=SESSION_S
        )
        return response

    def log_out(self, request: web.Request) -> web.Response:
        """Delete the session."""
        self._sessions.pop(self.session(request), None)
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(COOKIE, path="/")
        return response


def _names_host(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # such as http://[
        return False


def _headers(request: web.Request) -> dict[str, str]:
    cached = "max-age=3600" if request.path.startswith("/static/") else "no-store"
    return {**HEADERS, "Cache-Control": cached}
