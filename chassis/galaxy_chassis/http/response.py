"""The API's responses, with the headers that all of them carry."""

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus

import msgspec
from aiohttp import HttpVersion11
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web import BaseRequest, StreamResponse
from multidict import CIMultiDict

from galaxy_chassis.http.problems import Problem

SERVER = "galaxy-backend"

_COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": SERVER}
_JSON, _PROBLEM, _HTML = "application/json", "application/problem+json", "text/html; charset=utf-8"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_BODILESS = frozenset({204, 304})
"""Statuses whose responses have no body (RFC 9112, 6.3)."""
_FORBIDDEN = frozenset(map(chr, (*range(32), 127))) - {"\t"}
"""Characters that would end a header early (RFC 9110, 5.5)."""


class RawResponse:
    """A complete response, written at once, with only what aiohttp's connection requires of one.

    aiohttp's own response collects its headers in a multidict, checks and serialises them for every request; here
    all but three of them are one string that is made once for each status.
    """

    __slots__ = ("_body", "_closes", "_head", "keep_alive", "status")

    def __init__(self, status: int, head: str, body: bytes | None, request_id: str) -> None:
        self.status, self._head, self._body = status, f"{head}X-Request-Id: {request_id}\r\n", body or b""
        self._closes = False
        self.keep_alive: bool | None = None
        """Whether the connection stays open; None before the answer is written."""

    def force_close(self) -> None:
        """Close the connection after this answer."""
        self._closes = True

    async def prepare(self, request: BaseRequest) -> None:
        """Write the answer. Raise ConnectionError when the client is gone."""
        head, body = self._head, self._body
        if self.status not in _BODILESS:
            head = f"{head}Content-Length: {len(body)}\r\n"
        self.keep_alive = request.keep_alive and not self._closes
        if not self.keep_alive:
            head += "Connection: close\r\n"
        elif request.version < HttpVersion11:
            head += "Connection: keep-alive\r\n"
        raw = f"{head}Date: {rfc822_formatted_time()}\r\n\r\n".encode()
        if request.method != "HEAD" and self.status not in _BODILESS:
            raw += body
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(raw)
        if transport.get_write_buffer_size():
            await request.writer.drain()

    async def write_eof(self) -> None:
        """Do nothing: `prepare` has written all."""


AnyResponse = RawResponse | StreamResponse
"""An answer of the API, or a response of the handler's own making."""


def json_response(
    status: int, document: bytes, request_id: str, headers: Mapping[str, str] | None = None
) -> RawResponse:
    """Return an answer with a JSON document."""
    return _reply(_JSON, status, document, request_id, headers)


def html_response(status: int, html: bytes, request_id: str, headers: Mapping[str, str] | None = None) -> RawResponse:
    """Return an answer with a page."""
    return _reply(_HTML, status, html, request_id, headers)


def file_response(
    media_type: str, content: bytes, request_id: str, headers: Mapping[str, str] | None = None
) -> RawResponse:
    """Return an answer with a file of any media type."""
    return _reply(media_type, 200, content, request_id, headers)


def empty_response(status: int, request_id: str, headers: Mapping[str, str] | None = None) -> RawResponse:
    """Return an answer without a body, for 204."""
    return _reply(None, status, None, request_id, headers)


def problem_response(problem: Problem, request_id: str) -> RawResponse:
    """Return the response for a problem (RFC 9457)."""
    document = msgspec.json.encode(problem.document(request_id))
    return _reply(_PROBLEM, problem.status, document, request_id, problem.headers)


def _reply(
    media_type: str | None, status: int, body: bytes | None, request_id: str, headers: Mapping[str, str] | None
) -> RawResponse:
    head = _with(headers, media_type, status) if headers else _plain_head(media_type, status)
    return RawResponse(status, head, body, request_id)


@lru_cache(maxsize=256)
def _plain_head(media_type: str | None, status: int) -> str:
    return _with({}, media_type, status)


def _with(headers: Mapping[str, str], media_type: str | None, status: int) -> str:
    """Return status line and headers, of which those given replace the common ones.

    Raise ValueError for a bad one.
    """
    fields = CIMultiDict(_COMMON if media_type is None else {"Content-Type": media_type, **_COMMON})
    fields.update(headers)
    for name, value in fields.items():
        if not _FORBIDDEN.isdisjoint(name + value):
            raise ValueError(f"header {name!r} has a control character in it: leave it out")
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines) + "\r\n"
