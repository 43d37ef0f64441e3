"""Calls to the backends, each by one of them.

With several backends each call goes to the next one. A backend that cannot be reached, or says that it is starting or
stopping, has not begun the call: the next one gets it. The next one also gets a safe call whose connection broke before
its answer, for it changes nothing. Any other call that may have begun is never sent again from here; the client, which
knows whether it carries an Idempotency-Key, decides.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from galaxy_chassis.clock import Clock
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.logs import get_logger
from galaxy_gateway.forwarding.errors import BackendError, LateError, UnreachableError
from galaxy_gateway.forwarding.pool import Pool
from galaxy_gateway.forwarding.request import Request
from galaxy_gateway.forwarding.response import BUFFERED, Response

AVOIDED = 1.0
"""Seconds for which a backend that did not take a call is asked last."""
BACKEND_TIMEOUT = "backend_timeout"
"""The code of a call that may still run."""

_NOT_BEGUN = ("starting", "stopping")
"""Codes of a backend that refuses calls before it begins them."""

_log = get_logger("galaxy_gateway.forwarding", plugin="gateway")


@dataclass(slots=True)
class _Backend:
    """One backend, and until when it is asked last."""

    pool: Pool
    avoided_until: float = field(default=float("-inf"))


class Backends:
    """Makes calls to the backends. Made inside the event loop; closed with it."""

    def __init__(self, urls: Sequence[str], *, timeout: float, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        """`urls`: `http://…`, `https://…` (checked by `tls`) or `unix:///path`; `timeout` in seconds, until the
        answer begins, and then between two pieces of it."""
        self._clock, self._loop = clock, asyncio.get_running_loop()
        self._timeout = timeout
        self._backends = [_Backend(Pool(url, timeout=timeout, tls=tls)) for url in urls]
        self._turn = 0
        self.failures: dict[str, int] = {"unreachable": 0, "refused": 0, "broken": 0, "late": 0}
        """Calls that came to nothing, by reason."""

    def call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, safe: bool = False
    ) -> "BackendCall":
        """Return a call: `async with` makes it, and its answer's body is read within the block.

        With `safe` it may be begun more than once. A HEAD is asked as GET.
        """
        return BackendCall(self, Request(method, target, headers, body), safe=safe)

    async def close(self) -> None:
        """Close every connection."""
        for backend in self._backends:
            backend.pool.close()

    def in_order(self, *, safe: bool) -> Sequence[_Backend]:
        """Return the backends in the order in which a call tries them."""
        if len(self._backends) == 1:
            # its kept connection may be one that it has just closed
            return self._backends * 2 if safe else self._backends
        self._turn = (self._turn + 1) % len(self._backends)
        now = self._clock.monotonic()
        order = self._backends[self._turn :] + self._backends[: self._turn]
        return sorted(order, key=lambda backend: backend.avoided_until > now)

    def deadline(self) -> float:
        """Return the loop's time until which an answer to a call of now has to begin."""
        return self._loop.time() + self._timeout

    def avoid(self, backend: _Backend, reason: str, detail: str) -> None:
        """Ask a backend last for a while, since it did not take a call."""
        backend.avoided_until = self._clock.monotonic() + AVOIDED
        self._note(backend, reason, detail)

    def failed(self, backend: _Backend, error: BackendError) -> Problem:
        """Return the answer to a call that may have taken effect."""
        if isinstance(error, LateError):
            self._note(backend, "late", str(error))
            detail = (
                f"The backend has not answered within {self._timeout:g} s; the call may or may not have taken effect."
            )
            return Problem(504, BACKEND_TIMEOUT, detail, headers={"Retry-After": "1"})
        self._note(backend, "broken", str(error))
        return Problem(
            502,
            "backend_unreachable",
            "The connection to the backend broke; the call may or may not have taken effect. Try again, with the same "
            "Idempotency-Key.",
            headers={"Retry-After": "1"},
        )

    def _note(self, backend: _Backend, reason: str, detail: str) -> None:
        self.failures[reason] += 1
        _log.warning("backend_call_failed", backend=backend.pool.url, reason=reason, detail=detail)


class BackendCall:
    """A call to the first backend that takes it. The block has its answer; the connection is kept or closed after it.

    Entering it, and reading the answer in it, raise the problems 502 `backend_unreachable`, which says whether the call
    may have taken effect, and 504 `backend_timeout`.
    """

    __slots__ = ("_backend", "_backends", "_connection", "_request", "_safe")

    def __init__(self, backends: Backends, request: Request, *, safe: bool) -> None:
        self._backends, self._request, self._safe = backends, request, safe

    async def __aenter__(self) -> Response:
        backends, deadline = self._backends, self._backends.deadline()
        order = backends.in_order(safe=self._safe)
        for place, backend in enumerate(order, 1):
            is_last = place == len(order)
            try:
                response = await self._begin(backend, deadline)
                if response.status != 503 or is_last or not await self._is_refused(response):
                    return response
            except UnreachableError as error:
                backends.avoid(backend, "unreachable", str(error))
            except BackendError as error:
                if is_last or not self._safe or isinstance(error, LateError):
                    raise backends.failed(backend, error) from None
                backends.avoid(backend, "broken", str(error))
            else:
                backends.avoid(backend, "refused", "it is starting or stopping")
        raise Problem(
            502,
            "backend_unreachable",
            "The backend cannot be reached just now; the call has not taken effect. Try again.",
            headers={"Retry-After": "1"},
        )

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._backend.pool.end(self._connection)
        if isinstance(error, BackendError):
            raise self._backends.failed(self._backend, error) from None

    async def _begin(self, backend: _Backend, deadline: float) -> Response:
        pool = backend.pool
        self._backend = backend
        self._connection, response = await pool.begin(self._request.to(pool.host), deadline)
        return response

    async def _is_refused(self, response: Response) -> bool:
        """Return whether a 503 is of a backend that is starting or stopping, and end the call if so."""
        refused = False
        try:
            refused = await _has_not_begun(response)
        except BaseException:
            self._backend.pool.end(self._connection)
            raise
        if refused:
            self._backend.pool.end(self._connection)
        return refused


async def _has_not_begun(response: Response) -> bool:
    """Return whether a 503 is of a backend that is starting or stopping; its body stays readable."""
    short = response.length is not None and response.length <= BUFFERED
    return short and _code(await response.read()) in _NOT_BEGUN


def _code(document: bytes) -> str:
    try:
        found: Mapping[str, str] = msgspec.json.decode(document, type=dict)
    except msgspec.DecodeError:
        return ""
    return found.get("code", "")
