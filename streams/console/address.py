"""Where the console listens: default port, loopback addresses and the URL of its pages."""

from __future__ import annotations

import ipaddress

DEFAULT_PORT = 8765


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address that a server binds to.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def page_url(host: str, port: int) -> str:
    """The URL of the first page.

    >>> page_url("127.0.0.1", 8765), page_url("::1", 80)
    ('http://127.0.0.1:8765/', 'http://[::1]:80/')
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
