"""Which addresses a webhook may connect to: by default none inside the network that this process can reach.

A receiver's name is someone else's DNS record. It could name the metadata service of a cloud, a database, or the
console of this machine. The address is checked when the socket is made, so a name that changes in between is too.

Tested by tests/security/test_webhook_targets.py.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any, Final

# NAT64: the last 32 bits are an IPv4 address (RFC 6052).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateTarget(OSError):
    """The address is private, and the route does not allow that."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the receiver has a private address")


def is_public(address: str) -> bool:
    """Return whether an address belongs to the public Internet.

    >>> [is_public(address) for address in ("93.184.215.14", "2606:2800:21f:cb07::1")]
    [True, True]
    >>> any(map(is_public, ("127.0.0.1", "10.0.0.8", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1")))
    False
    >>> any(map(is_public, ("::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.8", "64:ff9b::a00:8", "2002:7f00:1::")))
    False
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def public_socket(target: Any) -> socket.socket:
    """Make the socket for an address as `getaddrinfo` returns it.

    Raises:
        PrivateTarget: the address is not public.
    """
    family, kind, protocol, _name, address = target
    if not is_public(address[0]):
        raise PrivateTarget
    return socket.socket(family, kind, protocol)
