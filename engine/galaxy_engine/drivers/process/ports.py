"""Ports of this machine for engines to listen on."""

import socket
from collections.abc import Collection

ADDRESS = "127.0.0.1"
ATTEMPTS = 100


def free_port(taken: Collection[int]) -> int:
    """Return a port that nobody uses and that is not among those given out.

    Somebody may take it before the engine does: the engine then ends, and the next generation gets another one.
    """
    for _ in range(ATTEMPTS):
        with socket.socket() as probe:
            probe.bind((ADDRESS, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
    raise OSError("no free port was found")
