"""Find a client's address and protocol behind reverse proxies that are named in the settings.

Tested by tests/streams/console/test_trusted_proxies.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from streams.errors import SettingsError


class TrustedProxies:
    """Proxies whose headers X-Forwarded-For and X-Forwarded-Proto count. Without any, both are ignored.

    Args:
        names: Addresses and networks, comma separated.

    Raises:
        SettingsError: a name is neither.

    >>> proxies = TrustedProxies("10.0.0.0/8")
    >>> headers = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7, 10.1.1.1", "X-Forwarded-Proto": "https"}
    >>> proxies.client("10.0.0.1", headers), proxies.client("192.0.2.1", headers)
    ('192.0.2.7', '192.0.2.1')
    >>> proxies.secure("10.0.0.1", headers), proxies.secure("192.0.2.1", headers)
    (True, False)
    """

    def __init__(self, names: str = "") -> None:
        self._networks = []
        for name in filter(None, (name.strip() for name in names.split(","))):
            try:
                self._networks.append(ipaddress.ip_network(name, strict=False))
            except ValueError:
                raise SettingsError(
                    f"CHURN_CONSOLE_TRUSTED_PROXIES={names!r} must be IP addresses or networks, comma separated"
                ) from None

    def client(self, remote: str | None, headers: Mapping[str, str]) -> str:
        """The address of the client: the last one that no trusted proxy has.

        A client can put any address in front of those that the proxies append.
        """
        address = remote or ""
        forwarded = [part.strip() for part in headers.get("X-Forwarded-For", "").split(",")]
        while forwarded and self._trusts(address):
            address = forwarded.pop() or address
        return address

    def secure(self, remote: str | None, headers: Mapping[str, str]) -> bool:
        """Whether a trusted proxy received the request over TLS."""
        protocol = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
        return protocol == "https" and self._trusts(remote or "")

    def _trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in network for network in self._networks)
