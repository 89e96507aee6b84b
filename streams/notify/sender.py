"""One attempt to deliver an alert event over HTTP, and what its answer means."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final, NamedTuple

import aiohttp

from streams.notify.alert_event import AlertRecord
from streams.notify.outcomes import DELIVERED, FAILED, REDIRECTED, REFUSED
from streams.notify.routes import Route
from streams.notify.signature import sign

# A receiver may say why it refused: so much is kept beside the dead letter, and no more is read.
ANSWER_MAX_BYTES: Final = 1024
# Whoever asks for a longer pause is asked again after this.
RETRY_AFTER_MAX_S: Final = 3600.0
# Not now, says the receiver, or somebody in front of it. Other answers from 400 to 499 are about what was sent.
_LATER: Final = frozenset((408, 425, 429))


class AttemptOutcome(NamedTuple):
    """What came of an attempt.

    Attributes:
        kind: delivered; failed: to be tried again; refused or redirected: not to be.
        why: for people; quotes what the receiver said, never what was sent.
        wait_s: for how long the receiver wants to be left alone.
    """

    kind: str
    why: str = ""
    wait_s: float = 0.0


class Sender:
    """Posts to one route.

    Args:
        route: where.
        session: as of `new_session`.
        clock: seconds since the epoch.
    """

    def __init__(self, route: Route, session: aiohttp.ClientSession, clock: Callable[[], float] = time.time) -> None:
        self._route, self._session, self._clock = route, session, clock

    async def send(self, event: AlertRecord, body: bytes | None) -> AttemptOutcome:
        """Post the event, or a body of the route's own, which is no CloudEvent any more."""
        content, at_s = event.body if body is None else body, int(self._clock())
        headers = {
            **(event.attributes if body is None else {}),
            **self._route.headers,
            "content-type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(at_s),
        }
        if self._route.keys:
            headers["webhook-signature"] = sign(self._route.keys, event.id, at_s, content)
        try:
            async with self._session.post(
                self._route.url, data=content, headers=headers, allow_redirects=False
            ) as answer:
                said = await _beginning(answer)
                return self._meaning(answer.status, answer.headers.get("Retry-After", ""), said)
        except TimeoutError:
            return AttemptOutcome(FAILED, f"no answer within {self._route.pace.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            # Only its kind: the text may hold the address, which may be a secret.
            return AttemptOutcome(FAILED, f"{type(failure).__name__}: no answer")

    def _meaning(self, status: int, retry_after: str, said: str) -> AttemptOutcome:
        why = f"status {status}{f': {said}' if said else ''}"
        if 200 <= status < 300:
            return AttemptOutcome(DELIVERED, why)
        if 300 <= status < 400:
            return AttemptOutcome(REDIRECTED, f"status {status}: redirects are not followed, give the new address")
        if 400 <= status < 500 and status not in _LATER:
            return AttemptOutcome(REFUSED, why)
        return AttemptOutcome(FAILED, why, wait_of(retry_after, self._clock()))


def new_session(route: Route) -> aiohttp.ClientSession:
    """Connections to one route: no more than it takes at once, no cookies, no proxy, nothing unpacked."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=route.pace.concurrency),
        timeout=aiohttp.ClientTimeout(total=route.pace.timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": f"churn-signals/{version('churn-signals')}"},
        auto_decompress=False,
        trust_env=False,
    )


def wait_of(retry_after: str, now_s: float) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number or a date; 0 for anything else, an hour at most.

    >>> wait_of("120", 0), wait_of("Thu, 01 Jan 1970 00:00:30 GMT", 10), wait_of("soon", 0), wait_of("1e9", 0)
    (120.0, 20.0, 0.0, 0.0)
    """
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:10]), RETRY_AFTER_MAX_S)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - now_s
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(wait_s) else 0.0


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    """The first bytes of an answer as printable text; the connection is closed over the rest."""
    found = b""
    while len(found) < ANSWER_MAX_BYTES:
        chunk = await answer.content.read(ANSWER_MAX_BYTES - len(found))
        if not chunk:
            break
        found += chunk
    text = found.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()
