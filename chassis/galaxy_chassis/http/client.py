"""The HTTP client of a process: one session for all its calls, with shared connections, time limits and tracing."""

from random import Random
from types import SimpleNamespace

import aiohttp
from opentelemetry.trace import get_current_span

from galaxy_chassis.request_context import current_request

TIMEOUT = aiohttp.ClientTimeout(total=30.0, sock_connect=5.0)
"""Limits of a call, in seconds, unless it brings its own: all of it, and each attempt to connect."""
CONNECTIONS = 256
"""Connections at a time; further calls wait for one, within their time."""

_bits = Random().getrandbits  # noqa: S311 - span ids need not be secret


class HttpClient:
    """The session of one process, made when first asked for and closed with the process."""

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        """Do nothing yet. `session` replaces the one of its own, and stays its caller's to close: for tests."""
        self._given, self._made = session, session
        self._closed = False

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session; inside the event loop. Raise RuntimeError once it is closed."""
        if self._closed:
            raise RuntimeError("the HTTP client is closed: the process is stopping")
        if self._made is None:
            self._made = make_session()
        return self._made

    async def close(self) -> None:
        """Close the session, with its connections."""
        self._closed = True
        if self._made is not None and self._given is None:
            await self._made.close()


def make_session() -> aiohttp.ClientSession:
    """Return a session with time limits, without cookies, whose calls carry trace and request id of their caller.

    A call is sent once, whatever its method: whoever makes it knows whether it may be repeated.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(_add_ids)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=TIMEOUT,
        trace_configs=[tracing],
    )
    session._retry_connection = False  # else aiohttp sends a GET, PUT or DELETE again on its own
    return session


async def _add_ids(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, call: aiohttp.TraceRequestStartParams
) -> None:
    """Add `traceparent` (W3C Trace Context) and `X-Request-Id`, unless the caller has set them."""
    context = current_request.get()
    if context is not None:
        call.headers.setdefault("X-Request-Id", context.request_id)
    traceparent = traceparent_of("" if context is None else context.trace_id)
    if traceparent:
        call.headers.setdefault("traceparent", traceparent)


def traceparent_of(trace_id: str) -> str:
    """Return the header for the current span; for a trace that is not recorded, with a span id that names nothing."""
    span = get_current_span().get_span_context()
    if span.is_valid:
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return f"00-{trace_id}-{_bits(64) or 1:016x}-00" if trace_id else ""  # no span id is zero
