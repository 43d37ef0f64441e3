"""One HTTP request and its answer: aiohttp's failures become ours, bodies are bounded, the token stays inside."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata

import aiohttp
from yarl import URL

from galaxy_client.errors import (
    AnswerError,
    CallTimeoutError,
    ClosedError,
    ConnectionLostError,
    TransportError,
    UnreachableError,
    problem,
)

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes: several times the largest report that a server takes from an engine."""
CONNECT_SECONDS = 10.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class Request:
    """A request, without the token."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status below 300."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """Connections to one server, and the token that goes with every request."""

    def __init__(self, base: URL, token: str | None) -> None:
        self.base = base
        self._token: str | None = None
        self.authenticate(token)
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_only_once,),
            headers={"User-Agent": f"galaxy-client/{_version()}", "Accept": "application/json"},
        )

    def __repr__(self) -> str:
        """Return the address, and whether there is a token."""
        return f"Transport({str(self.base)!r}, {'signed in' if self._token else 'no token'})"

    @property
    def token(self) -> str | None:
        """The session token, for who keeps it; to be shown to nobody."""
        return self._token

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    def authenticate(self, token: str | None) -> None:
        """Send this token from now on, or none. Raise ValueError, without the token, for what cannot be one."""
        if token is not None and not _TOKEN.fullmatch(token):
            raise ValueError("the session token is empty, too long or has characters that no token has")
        self._token = token

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def exchange(self, request: Request, seconds: float) -> Answer:
        """Send a request once and return its answer. Raise ProblemError for a status of 300 or more."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        async with self._opened(request, timeout) as response:
            body = await self._read(request, response)
            if response.status >= 300:
                raise problem(response.status, response.headers, self._without_token(body), datetime.now(UTC))
            return Answer(response.status, response.headers, body)

    @asynccontextmanager
    async def stream(self, request: Request, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request and hand over the bytes of its answer as they come.

        Raise ConnectionLostError once nothing has come for `silence` seconds, ProblemError for a status of 300 or more,
        AnswerError for an answer of another type than an event stream.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        async with self._opened(request, timeout) as response:
            if response.status >= 300:
                body = await self._read(request, response)
                raise problem(response.status, response.headers, self._without_token(body), datetime.now(UTC))
            if response.status != 204 and response.content_type != "text/event-stream":
                raise AnswerError(f"{request.name}: expected an event stream, not {response.content_type}")
            yield response.content.iter_any()

    @asynccontextmanager
    async def _opened(self, request: Request, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session.closed:
            raise ClosedError(f"{request.name}: the client is closed")
        headers = dict(request.headers)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        url = URL(f"{self.base}{request.path}", encoded=True).with_query(request.query)
        try:
            async with self._session.request(
                request.method,
                url,
                data=request.body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,  # the token is for this server
            ) as response:
                yield response
        except _SendingFailedError as failed:
            raise _failure(request, self.base, failed.error) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(request, self.base, error) from None  # aiohttp's errors hold the headers

    async def _read(self, request: Request, response: aiohttp.ClientResponse) -> bytes:
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise AnswerError(f"{request.name}: the answer is longer than {LARGEST_ANSWER} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _without_token(self, body: bytes) -> bytes:
        """Return the body of an error, which is to be shown to people, without the token."""
        return body if self._token is None else body.replace(self._token.encode(), b"(token)")


class _SendingFailedError(Exception):
    """A request was not sent, or its answer did not begin."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def _only_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET, PUT or DELETE a second time on its own, which would hide a lost answer."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _SendingFailedError(error) from None


def _failure(request: Request, base: URL, error: Exception) -> TransportError:
    reason = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return UnreachableError(f"{request.name}: no connection to {base}: {reason}")
    lost: TransportError
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ServerTimeoutError):
        lost = CallTimeoutError(f"{request.name}: {base} did not answer in time")
    else:
        lost = ConnectionLostError(f"{request.name}: the connection to {base} was lost: {reason}")
    lost.uncertain = request.method != "GET"
    return lost


def _version() -> str:
    try:
        return metadata.version("galaxy-backend-client")
    except metadata.PackageNotFoundError:
        return "0"
