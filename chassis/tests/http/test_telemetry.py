"""What the HTTP server tells of its requests."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from multidict import CIMultiDict

from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.request_context import request_context
from galaxy_chassis.telemetry import Telemetry

Served = Callable[..., tuple[str, str]]
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


class Operation(NamedTuple):
    name: str = "things.show"
    method: str = "GET"
    path: str = "/api/v1/public/things/{id}"


ROUTE = Operation()


def test_a_traced_request_makes_a_server_span(collector: Any, served: Served) -> None:
    """A sampled request exports a SERVER span with route, method and status, under the ids that its work had."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    before = time.time_ns()
    trace_id, span_id = served(HttpTelemetry(telemetry), status=503)
    telemetry.shutdown(5)
    (span,) = collector.spans
    assert (span.trace_id.hex(), span.span_id.hex()) == (trace_id, span_id)
    assert span.kind == 2  # SERVER
    assert before <= span.start_time_unix_nano <= span.end_time_unix_nano <= time.time_ns()
    attributes = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
    assert attributes["http.route"] == "/api/v1/public/things/{id}"
    assert attributes["http.request.method"] == "GET"
    assert attributes["http.response.status_code"] == 503
    assert span.status.code == 2  # ERROR


def test_an_untraced_request_has_a_trace_id(served: Served) -> None:
    """Without a recorded span each request still has a trace id of its own, and no span id."""
    http = HttpTelemetry(Telemetry(sample_ratio=1.0))
    ids = {served(http) for _ in range(600)}
    assert len(ids) == 600
    assert all(len(trace_id) == 32 and span_id == "" for trace_id, span_id in ids)


def test_a_stranger_decides_neither_that_it_is_traced_nor_under_which_id(collector: Any, served: Served) -> None:
    """The trace context of an untrusted caller is passed over: our own ratio decides, and the trace is a new one."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=0.0)
    telemetry.start()
    stranger, _ = served(HttpTelemetry(telemetry), {"traceparent": SAMPLED}, trusted=False)
    known, span_id = served(HttpTelemetry(telemetry), {"traceparent": SAMPLED}, trusted=True)
    telemetry.shutdown(5)
    assert stranger != TRACE_ID
    assert (known, [span.span_id.hex() for span in collector.spans]) == (TRACE_ID, [span_id])


def test_plugin_spans_follow_the_request(collector: Any) -> None:
    """A plugin's span is a child of a traced request's, and is not recorded in an untraced one."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    http, tracer = HttpTelemetry(telemetry), telemetry.tracer("galaxy_things")
    for header in (SAMPLED, UNSAMPLED):
        with request_context("things"):
            seen = http.begin(ROUTE, CIMultiDict(traceparent=header), trusted=True)
            with tracer.start_as_current_span("inner"):
                pass
            http.end(seen, ROUTE, 200, 0.01)
    telemetry.shutdown(5)
    spans = {span.name: span for span in collector.spans}
    assert len(collector.spans) == 2
    assert spans["inner"].parent_span_id == spans["GET /api/v1/public/things/{id}"].span_id
