"""Ports on loopback that stay ours between two listeners."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port(port: int = 0) -> Iterator[int]:
    """A port that the system gives to no other process meanwhile. Connections are refused until a server listens on it.

    The port is bound here without listening. On Linux a listener that sets SO_REUSEADDR, as servers do, shares it.

    >>> with held_port() as port, socket.create_server(("127.0.0.1", port)) as server:
    ...     server.getsockname()[1] == port
    True
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        yield holder.getsockname()[1]
