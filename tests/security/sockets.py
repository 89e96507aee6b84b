"""On which addresses a process listens, as the kernel says (Linux)."""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

_LISTENS = "0A"


def listening_on(pid: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which the process waits for connections.

    >>> import socket
    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     server.getsockname() in listening_on(os.getpid())
    True
    """
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            mine.add(os.readlink(link))
        except FileNotFoundError:  # closed meanwhile
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTENS and f"socket:[{inode}]" in mine:
                address, _, port = local.partition(":")
                found.add((_address(address), int(port, 16)))
    return found


def _address(words: str) -> str:
    """The kernel writes 32-bit words in the machine's own order."""
    raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
