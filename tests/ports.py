"""Ports for the servers that tests start."""

import socket

_HELD: list[socket.socket] = []


def free_port() -> int:
    """One that nobody listens on, and that nobody else is given while the tests run.

    A socket stays bound to it. Servers may bind it too, as they allow addresses to be reused.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    return int(held.getsockname()[1])
