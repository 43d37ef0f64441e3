"""A call as it is written to a backend (RFC 9112)."""

from collections.abc import Mapping


class Request:
    """A call, for any of the backends."""

    __slots__ = ("_method", "_rest", "_target")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raise ValueError for a header that would end early.

        `headers` are all but `Host` and the framing, which are written here; `target` is checked (`targets`).
        """
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not fields.count("\n") == fields.count("\r") == len(headers) or "\0" in fields:
            raise ValueError("a header has a line break or a NUL in it")
        length = f"Content-Length: {len(body)}\r\n\r\n" if body or method != "GET" else "\r\n"
        self._method, self._target = method, target
        self._rest = (fields + length).encode("utf-8", "surrogateescape") + body

    def to(self, host: str) -> bytes:
        """Return its bytes for one backend."""
        return f"{self._method} {self._target} HTTP/1.1\r\nHost: {host}\r\n".encode("ascii") + self._rest
