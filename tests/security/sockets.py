"""Addresses on which a process listens, as reported by the kernel (Linux)."""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

_LISTEN_STATE = "0A"


def listening_on(pid: int) -> set[tuple[str, int]]:
    """Return address and port of every listening TCP socket of a process.

    >>> import socket
    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     server.getsockname() in listening_on(os.getpid())
    True
    """
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except FileNotFoundError:  # closed in the meantime
            continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTEN_STATE and f"socket:[{inode}]" in inodes:
                address, _, port = local.partition(":")
                addresses.add((_address(address), int(port, 16)))
    return addresses


def _address(words: str) -> str:
    """Decode an address, which the kernel writes as 32-bit words in native byte order."""
    raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
