"""Sender of one route: posts an alert event over HTTP and classifies the response.

Tested by tests/streams/notify/test_delivery.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final, NamedTuple

import aiohttp

from streams.logs import get_logger
from streams.notify.alert_event import AlertRecord
from streams.notify.outcomes import DELIVERED, FAILED, REDIRECTED, REFUSED
from streams.notify.routes import Route
from streams.notify.signature import sign
from streams.notify.target import PrivateTarget, public_socket

log = get_logger(__name__)

# The beginning of the response may explain a refusal and is stored in the dead letter. No more is read.
RESPONSE_MAX_BYTES: Final = 1024
# Upper limit for a Retry-After of the receiver.
RETRY_AFTER_MAX_S: Final = 3600.0
# Temporary conditions of the receiver or a proxy. Other 4xx statuses reject the request itself.
_RETRYABLE_4XX: Final = frozenset((408, 425, 429))


class AttemptOutcome(NamedTuple):
    """Outcome of an attempt.

    Attributes:
        kind: delivered; failed, which is retried; refused or redirected, which are not.
        why: explanation for people. It quotes the response, never the request.
        wait_s: minimum wait that the receiver requested.
    """

    kind: str
    why: str = ""
    wait_s: float = 0.0


class Sender:
    """Posts alert events to the receiver of a route.

    Args:
        route: receiver, headers and keys.
        session: made by `new_session`.
        clock: seconds since the epoch.
    """

    def __init__(self, route: Route, session: aiohttp.ClientSession, clock: Callable[[], float] = time.time) -> None:
        self._route, self._session, self._clock = route, session, clock
        self._warned = False

    async def send(self, event: AlertRecord, body: bytes | None) -> AttemptOutcome:
        """Post the event as a CloudEvent, or the route's own body without CloudEvents headers."""
        content, sent_s = event.body if body is None else body, int(self._clock())
        headers = {
            **(event.attributes if body is None else {}),
            **self._route.headers,
            "content-type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(sent_s),
        }
        if self._route.keys:
            headers["webhook-signature"] = sign(self._route.keys, event.id, sent_s, content)
        try:
            async with self._session.post(
                self._route.url, data=content, headers=headers, allow_redirects=False
            ) as response:
                text = await _beginning(response)
                return self._classify(response.status, response.headers.get("Retry-After", ""), text)
        except TimeoutError:
            return AttemptOutcome(FAILED, f"no response within {self._route.retry.timeout_s:g} s")
        except aiohttp.ClientConnectorError as failure:
            if isinstance(failure.os_error, PrivateTarget):
                self._warn_private()
                return AttemptOutcome(FAILED, "the receiver has a private address: set allow_private in the route")
            return AttemptOutcome(FAILED, f"{type(failure).__name__}: no response")
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            # Only the class: the text may contain the URL, which may be a secret.
            return AttemptOutcome(FAILED, f"{type(failure).__name__}: no response")

    def _warn_private(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "route %s: the receiver has a private, loopback or link-local address, so nothing is sent to it;"
                " set allow_private = true in [routes.%s] if that is intended",
                self._route.name,
                self._route.name,
            )

    def _classify(self, status: int, retry_after: str, text: str) -> AttemptOutcome:
        why = f"status {status}{f': {text}' if text else ''}"
        if 200 <= status < 300:
            return AttemptOutcome(DELIVERED, why)
        if 300 <= status < 400:
            return AttemptOutcome(REDIRECTED, f"status {status}: redirects are not followed, configure the new URL")
        if 400 <= status < 500 and status not in _RETRYABLE_4XX:
            return AttemptOutcome(REFUSED, why)
        return AttemptOutcome(FAILED, why, retry_after_s(retry_after, self._clock()))


def new_session(route: Route) -> aiohttp.ClientSession:
    """Open a session for one route: limited connections, no cookies, no proxy, no decompression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=route.retry.concurrency, socket_factory=None if route.allow_private else public_socket
        ),
        timeout=aiohttp.ClientTimeout(total=route.retry.timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": f"churn-signals/{version('churn-signals')}"},
        auto_decompress=False,
        trust_env=False,
    )


def retry_after_s(header: str, now_s: float) -> float:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), a number or a date, limited to one hour.

    Returns 0 for a missing or invalid header.

    >>> retry_after_s("120", 0), retry_after_s("Thu, 01 Jan 1970 00:00:30 GMT", 10)
    (120.0, 20.0)
    >>> retry_after_s("soon", 0), retry_after_s("1e9", 0)
    (0.0, 0.0)
    """
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:10]), RETRY_AFTER_MAX_S)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - now_s
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(wait_s) else 0.0


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """Return the first bytes of a response as printable text. The rest is not read: the connection is closed."""
    content = b""
    while len(content) < RESPONSE_MAX_BYTES:
        chunk = await response.content.read(RESPONSE_MAX_BYTES - len(content))
        if not chunk:
            break
        content += chunk
    text = content.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()
