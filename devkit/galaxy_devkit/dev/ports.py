"""Chooses ports on loopback: the usual one where it is free."""

import socket

HOST = "127.0.0.1"


class Ports:
    """Chooses ports, and notes for the person at the terminal which are not the usual ones."""

    def __init__(self, *, any_port: bool = False) -> None:
        """With `any_port`, take free ports from the start, as tests do that run side by side."""
        self._any = any_port
        self._chosen: set[int] = set()
        self.notes: list[str] = []

    def choose(self, preferred: int, what: str, *, kept: bool = False) -> int:
        """Return the preferred port, or a free one where that is taken.

        `kept`: it is the port of an earlier run on the same data, preferred even where any would do.
        """
        any_port = self._any and not kept
        if not any_port and preferred not in self._chosen and _is_free(preferred):
            port = preferred
        else:
            port = self._free()
            if not any_port:
                self.notes.append(f"Port {preferred} is taken: {what} is on {port} instead.")
        self._chosen.add(port)
        return port

    def _free(self) -> int:
        while True:
            with _socket() as probe:
                probe.bind((HOST, 0))
                port: int = probe.getsockname()[1]
            if port not in self._chosen:
                return port


def _is_free(port: int) -> bool:
    try:
        with _socket() as probe:
            probe.bind((HOST, port))
    except OSError:  # in use, or below 1024
        return False
    return True


def _socket() -> socket.socket:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may still exist
    return probe
