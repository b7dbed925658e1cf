"""Ports for servers that start later, or again."""

from __future__ import annotations

import socket


def reserve_port() -> socket.socket:
    """Binds a socket to a free port of 127.0.0.1 that nobody else is given while it is open.

    It does not listen. A server that sets `SO_REUSEADDR`, as all here do, may listen on the port meanwhile.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
