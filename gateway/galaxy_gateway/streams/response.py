"""The answer that is a stream: its head, and what aiohttp gets once it has ended."""

from collections.abc import Mapping

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web import BaseRequest

from galaxy_chassis.http.response import SERVER, RawResponse

_FORBIDDEN = frozenset(map(chr, (*range(32), 127))) - {"\t"}
"""Characters that would end a header early (RFC 9110, 5.5)."""
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx collects what it should pass on
    "X-Content-Type-Options": "nosniff",
    "Server": SERVER,
    "Connection": "close",  # the stream ends with its connection, and needs no framing
}


class StreamedResponse(RawResponse):
    """An answer that was written while it was made; its connection is closed."""

    __slots__ = ()

    def __init__(self, status: int, request_id: str) -> None:
        super().__init__(status, "", None, request_id)
        self.keep_alive = False

    async def prepare(self, request: BaseRequest) -> None:
        """Do nothing: everything is written."""


def head(request_id: str, extra: Mapping[str, str]) -> bytes:
    """Return status line and headers of server-sent events. Raise ValueError for a header with a control character."""
    headers = {**_HEADERS, "X-Request-Id": request_id, **extra}
    for name, value in headers.items():
        if not _FORBIDDEN.isdisjoint(name + value):
            raise ValueError(f"header {name!r} has a control character in it: leave it out")
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 200 OK\r\n{''.join(lines)}Date: {rfc822_formatted_time()}\r\n\r\n".encode()
