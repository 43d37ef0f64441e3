"""Spans and durations of the HTTP server's requests."""

from collections.abc import Mapping
from typing import Any, Protocol

from multidict import istr
from opentelemetry.trace import SpanKind

from galaxy_chassis.telemetry.spans import Attributes, Trace
from galaxy_chassis.telemetry.telemetry import Telemetry

_TRACEPARENT = istr("traceparent")  # looked up faster than a plain string


class Route(Protocol):
    """What telemetry needs to know of a route."""

    @property
    def name(self) -> str:
        """Its operation, unique in the process."""

    @property
    def method(self) -> str:
        """Its method."""

    @property
    def path(self) -> str:
        """Its path, with parameters as `{name}`."""


class HttpTelemetry:
    """Observes requests for the HTTP server, by the semantic conventions for HTTP."""

    def __init__(self, telemetry: Telemetry, scheme: str = "http") -> None:
        """`scheme` of the listener: `http` or `https`."""
        self._telemetry, self._durations, self._scheme = telemetry, telemetry.http_durations, scheme

    def begin(self, route: Route, headers: Mapping[str, str], *, trusted: bool = False) -> Trace | None:
        """Begin a request, inside its request context; return its Trace when it is recorded.

        The trace of a caller that is not `trusted` begins here: else any client could have its requests recorded, and
        under the trace id of another (W3C Trace Context, "Security considerations").
        """
        decision = self._telemetry.decide(headers.get(_TRACEPARENT) if trusted else None)
        if decision is None:
            return None
        return self._telemetry.record(decision, _name(route), SpanKind.SERVER, self._attributes(route))

    def end(self, trace: Any, route: Route, status: int, seconds: float) -> None:
        """End it, with the route that it turned out to be, and the status that was answered."""
        key = (route.name, status)
        series = self._durations.get(key)
        if series is None:
            series = self._durations.make(key, {**self._attributes(route), **_outcome(status)})
        series.add(seconds)
        if trace is not None:
            trace.rename(_name(route), self._attributes(route))
            error = str(status) if status >= 500 else None
            self._telemetry.finish(trace, error, {"http.response.status_code": status})

    def _attributes(self, route: Route) -> Attributes:
        return {"http.request.method": route.method, "http.route": route.path, "url.scheme": self._scheme}


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _outcome(status: int) -> Attributes:
    outcome: dict[str, str | int] = {"http.response.status_code": status}
    if status >= 500:
        outcome["error.type"] = str(status)
    return outcome
