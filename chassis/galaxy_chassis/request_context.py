"""The current request, call or pass: one `request_id` follows it through HTTP, gRPC, workers and rows."""

from contextvars import ContextVar
from uuid import UUID

from uuid_utils import uuid7

from galaxy_chassis.uuids import uuid_of


class RequestContext:
    """A request, a call or a worker's pass."""

    __slots__ = ("plugin", "request_id", "span_id", "trace_id")

    def __init__(self, request_id: str, plugin: str, trace_id: str = "", span_id: str = "") -> None:
        self.request_id, self.plugin = request_id, plugin
        self.trace_id, self.span_id = trace_id, span_id
        """Hexadecimal, as OpenTelemetry writes them; empty without telemetry. No span id when not sampled."""


current_request: ContextVar[RequestContext | None] = ContextVar("galaxy_work", default=None)
"""The current context; None outside any."""


def new_id() -> UUID:
    """Return a fresh UUIDv7 (RFC 9562) for a row: ids sort by time."""
    return uuid_of(uuid7().int)


def new_request_id() -> str:
    """Return a fresh id: a UUIDv7, so that ids sort by time."""
    return str(uuid7())


def request_id() -> str:
    """Return the request id of the current context, for a row; a fresh one outside any."""
    context = current_request.get()
    return new_request_id() if context is None else context.request_id


class request_context:  # noqa: N801 - read as a function: a generator's context manager costs thrice as much, a mail for one
    """Run the block as `plugin`; to continue the work of a row, pass the request id that it carries.

    Inside another context, such as a worker's pass, it stays in that context's trace.
    """

    __slots__ = ("_context", "_token")

    def __init__(self, plugin: str, request_id: str | None = None) -> None:
        around = current_request.get()
        trace_id, span_id = ("", "") if around is None else (around.trace_id, around.span_id)
        self._context = RequestContext(request_id or new_request_id(), plugin, trace_id, span_id)

    def __enter__(self) -> RequestContext:
        self._token = current_request.set(self._context)
        return self._context

    def __exit__(self, *_: object) -> None:
        current_request.reset(self._token)
