"""The connections to the backends: kept, over TCP, TLS or a Unix socket.

With several backends each call goes to the next one. A backend that cannot be reached, or says that it is starting or
stopping, has not begun the call: the next one gets it. The next one also gets a safe call whose connection broke before
its answer, for it changes nothing. Any other call that may have begun is never sent again from here; the client, which
knows whether it carries an Idempotency-Key, decides.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from galaxy_chassis.clock import Clock
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.logs import get_logger

CONNECTIONS = 256
"""Connections to each backend; further calls wait for one, within their time."""
KEPT = 60.0
"""Seconds an idle connection is kept: less than the backend keeps its own, so that this side closes first."""
AVOIDED = 1.0
"""Seconds for which a backend that did not take a call is asked last."""
CONNECT_WITHIN = 3.0
UNIX = "unix://"
BACKEND_TIMEOUT = "backend_timeout"
"""The code of a call that may still run."""

_NOT_BEGUN = ("starting", "stopping")
"""Codes of a backend that refuses calls before it begins them."""

_log = get_logger("galaxy_gateway.forwarding", plugin="gateway")


@dataclass(slots=True)
class _Backend:
    """One backend, and until when it is asked last."""

    url: str
    session: aiohttp.ClientSession
    base: str
    avoided_until: float = field(default=float("-inf"))


class Backends:
    """Makes calls to the backends. Made inside the event loop; closed with it."""

    def __init__(self, urls: Sequence[str], *, timeout: float, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        """`urls`: `http://…`, `https://…` (checked by `tls`) or `unix:///path`; `timeout` in seconds, until the
        answer begins, and then between two pieces of it."""
        self._clock = clock
        self._timeout = timeout
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN, sock_read=timeout)
        self._backends = [_open(url, limits, tls) for url in urls]
        self._turn = 0
        self.failures: dict[str, int] = {"unreachable": 0, "refused": 0, "broken": 0, "late": 0}
        """Calls that came to nothing, by reason."""

    @asynccontextmanager
    async def call(
        self, method: str, target: str, headers: CIMultiDict[str], body: bytes, *, safe: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make a call; its answer's body is read within the block. With `safe` it may be begun more than once.

        Raise the problems 502 `backend_unreachable`, which says whether the call may have taken effect, and 504
        `backend_timeout`.
        """
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._begin(method, target, headers, body, safe=safe)
        except TimeoutError:
            raise self._late() from None
        try:
            yield response
        except TimeoutError:
            raise self._late() from None
        except aiohttp.ClientError as error:
            raise self._broken(error, response.url) from None
        finally:
            response.release() if response.content.at_eof() else response.close()

    async def close(self) -> None:
        """Close every connection."""
        for backend in self._backends:
            await backend.session.close()

    async def _begin(
        self, method: str, target: str, headers: CIMultiDict[str], body: bytes, *, safe: bool
    ) -> aiohttp.ClientResponse:
        order = self._in_order()
        if safe and len(order) == 1:
            order = order * 2  # its kept connection may be one that it has just closed
        for place, backend in enumerate(order, 1):
            is_last = place == len(order)
            try:
                response = await backend.session.request(
                    method,
                    URL(backend.base + target, encoded=True),
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                )
                if response.status != 503 or is_last or not await _has_not_begun(response):
                    return response
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                self._avoid(backend, "unreachable", str(error))
            except aiohttp.ClientError as error:
                if is_last or not safe:
                    raise self._broken(error, URL(backend.url)) from None
                self._avoid(backend, "broken", type(error).__name__)
            else:
                self._avoid(backend, "refused", "it is starting or stopping")
        raise Problem(
            502,
            "backend_unreachable",
            "The backend cannot be reached just now; the call has not taken effect. Try again.",
            headers={"Retry-After": "1"},
        )

    def _in_order(self) -> list[_Backend]:
        """Return the backends in the order in which this call tries them."""
        if len(self._backends) == 1:
            return self._backends
        self._turn = (self._turn + 1) % len(self._backends)
        now = self._clock.monotonic()
        order = self._backends[self._turn :] + self._backends[: self._turn]
        return sorted(order, key=lambda backend: backend.avoided_until > now)

    def _avoid(self, backend: _Backend, reason: str, detail: str) -> None:
        backend.avoided_until = self._clock.monotonic() + AVOIDED
        self.failures[reason] += 1
        _log.warning("backend_call_failed", backend=backend.url, reason=reason, detail=detail)

    def _broken(self, error: Exception, url: URL) -> Problem:
        self.failures["broken"] += 1
        _log.warning("backend_call_failed", backend=url.host, reason="broken", detail=type(error).__name__)
        return Problem(
            502,
            "backend_unreachable",
            "The connection to the backend broke; the call may or may not have taken effect. Try again, with the same "
            "Idempotency-Key.",
            headers={"Retry-After": "1"},
        )

    def _late(self) -> Problem:
        self.failures["late"] += 1
        detail = f"The backend has not answered within {self._timeout:g} s; the call may or may not have taken effect."
        return Problem(504, BACKEND_TIMEOUT, detail, headers={"Retry-After": "1"})


def _open(url: str, limits: aiohttp.ClientTimeout, tls: ssl.SSLContext | None) -> _Backend:
    connector: aiohttp.BaseConnector
    if url.startswith(UNIX):
        connector = aiohttp.UnixConnector(unquote(urlsplit(url).path), limit=CONNECTIONS, keepalive_timeout=KEPT)
        base = "http://backend"
    else:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEPT, ssl=tls or True)
        base = url.rstrip("/")
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=limits,
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )
    session._retry_connection = False  # aiohttp would send a PUT or DELETE again that may have begun
    return _Backend(url, session, base)


async def _has_not_begun(response: aiohttp.ClientResponse) -> bool:
    """Return whether a 503 is of a backend that is starting or stopping; its body stays readable."""
    return _code(await response.read()) in _NOT_BEGUN


def _code(document: bytes) -> str:
    try:
        found: Mapping[str, str] = msgspec.json.decode(document, type=dict)
    except msgspec.DecodeError:
        return ""
    return found.get("code", "")
