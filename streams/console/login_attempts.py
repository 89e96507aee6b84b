"""Limit failed logins, per client address and in total. Tested by tests/streams/console/test_login_attempts.py."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Final

from streams.logs import get_logger
from streams.monitoring.metric_catalogue import LOGIN_OUTCOMES

log = get_logger(__name__)

OUTCOMES: Final = LOGIN_OUTCOMES
ACCEPTED, WRONG, LIMITED = OUTCOMES

WINDOW_S: Final = 300.0
# A person mistypes a token a few times. In total, 60 a minute.
PER_ADDRESS, IN_TOTAL = 10, 300
_ADDRESSES_MAX: Final = 10_000
# A provider gives one customer a network of this size or a larger one.
_IPV6_PREFIX: Final = 64


class LoginAttempts:
    """Failed logins of the last five minutes.

    Args:
        clock: Seconds, monotonic.

    Attributes:
        outcomes: Number of logins by outcome (`OUTCOMES`).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._clock = clock
        self._all: deque[float] = deque()
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, address: str) -> float:
        """Count an attempt as failed until `succeeded`, so that simultaneous attempts count too.

        Returns:
            0 if the attempt is allowed; otherwise the seconds until the next one is, after a log line.
        """
        now_s, client = self._clock(), client_of(address)
        own = self._by_address.setdefault(client, deque())
        self._by_address.move_to_end(client)
        if len(self._by_address) > _ADDRESSES_MAX:
            self._by_address.popitem(last=False)
        for attempts in (self._all, own):
            while attempts and attempts[0] <= now_s - WINDOW_S:
                attempts.popleft()
        for attempts, limit in ((own, PER_ADDRESS), (self._all, IN_TOTAL)):
            if len(attempts) >= limit:
                self.outcomes[LIMITED] += 1
                whose = f"from {client}" if attempts is own else "in total"
                log.warning("login refused from %s: %d failed logins %s within 5 minutes", client, limit, whose)
                return attempts[0] + WINDOW_S - now_s
        own.append(now_s)
        self._all.append(now_s)
        return 0.0

    def failed(self, address: str) -> None:
        """The token was wrong."""
        client = client_of(address)
        self.outcomes[WRONG] += 1
        count = len(self._by_address.get(client, ()))
        log.warning("login failed from %s: wrong token (attempt %d within 5 minutes)", client, count)

    def succeeded(self, address: str) -> None:
        """The token was right: the address may fail again as often as before."""
        client = client_of(address)
        self.outcomes[ACCEPTED] += 1
        if self._all:
            self._all.pop()
        self._by_address.pop(client, None)
        log.info("login from %s", client)


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 network.

    >>> client_of("192.0.2.7"), client_of("2001:db8::1"), client_of("::ffff:192.0.2.7"), client_of("?")
    ('192.0.2.7', '2001:db8::/64', '192.0.2.7', 'unknown')
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
