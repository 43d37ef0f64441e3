"""The providers of one kernel, and the spans around its work."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import Any

import pytest
from opentelemetry import metrics, trace

from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.request_context import request_context
from galaxy_chassis.telemetry import Telemetry
from galaxy_chassis.telemetry.instruments import Gauge

Served = Callable[..., tuple[str, str]]
Logged = Callable[[], AbstractContextManager[list[dict[str, Any]]]]
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


def test_the_caller_decides_over_the_ratio(collector: Any, served: Served) -> None:
    """A sampled traceparent is followed at ratio 0 and an unsampled one at ratio 1, with the caller's trace id."""
    for ratio, header in ((0.0, SAMPLED), (1.0, UNSAMPLED)):
        telemetry = Telemetry(traces_exporter="otlp", sample_ratio=ratio)
        telemetry.start()
        trace_id, span_id = served(HttpTelemetry(telemetry), {"traceparent": header})
        telemetry.shutdown(5)
        assert trace_id == TRACE_ID
        assert bool(span_id) == (header == SAMPLED)
    (span,) = collector.spans
    assert span.parent_span_id.hex() == SPAN_ID


def test_the_ratio_is_kept(collector: Any, served: Served) -> None:
    """About the share of requests that the ratio names is recorded."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=0.25, random=Random(7))
    telemetry.start()
    http = HttpTelemetry(telemetry)
    traced = sum(bool(served(http)[1]) for _ in range(1000))
    telemetry.shutdown(5)
    assert 200 < traced < 300
    assert len(collector.spans) == traced


def test_workers_and_calls_have_spans(collector: Any) -> None:
    """A worker's pass and a gRPC call are recorded, with what failed by type alone."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    with request_context("mail") as work, telemetry.worker_span("mail", "mail.deliver"):
        worker_span_id = work.span_id
    method = "/galaxy.push.v1.Push/Subscribe"
    with pytest.raises(ValueError, match="ann@"), request_context("push"), telemetry.rpc_span(method, SAMPLED):
        raise ValueError("ann@example.org")
    telemetry.shutdown(5)
    spans = {span.name: span for span in collector.spans}
    assert spans["mail.deliver"].span_id.hex() == worker_span_id
    call = spans["galaxy.push.v1.Push/Subscribe"]
    assert call.trace_id.hex() == TRACE_ID
    assert {each.key: each.value.string_value for each in call.attributes}["error.type"] == "ValueError"
    assert b"ann@" not in call.SerializeToString()


def test_a_pass_that_found_nothing_leaves_no_span(collector: Any) -> None:
    """A pass is exported when it was worth it or failed; the one after it is not the child of one that was left out."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    for found in (False, True):
        with request_context("mail"), telemetry.worker_span("mail", f"found {found}", lambda found=found: found):  # type: ignore[misc]
            pass
    with (
        pytest.raises(ZeroDivisionError),
        request_context("mail"),
        telemetry.worker_span("mail", "failed", lambda: False),
    ):
        raise ZeroDivisionError
    telemetry.shutdown(5)
    assert {span.name: span.parent_span_id for span in collector.spans} == {"found True": b"", "failed": b""}


def test_the_resource_names_the_service(collector: Any, monkeypatch: pytest.MonkeyPatch, served: Served) -> None:
    """The service is `galaxy-backend` unless OTEL_SERVICE_NAME says otherwise; instances differ."""
    for name in (None, "backend-of-ann"):
        if name:
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
        telemetry.start()
        served(HttpTelemetry(telemetry))
        telemetry.shutdown(5)
    first, second = collector.resources
    assert (first["service.name"], second["service.name"]) == ("galaxy-backend", "backend-of-ann")
    assert first["service.version"]
    assert first["service.instance.id"] != second["service.instance.id"]


def test_durations_and_gauges_are_exported(collector: Any, served: Served) -> None:
    """Request durations go out by route and status, gauges by what their callbacks return."""
    telemetry = Telemetry(metrics_exporter="otlp")
    telemetry.start()
    meter = telemetry.meter("galaxy_things")
    Gauge("galaxy.database.pool.used", "", (), "{connection}").observe(meter, lambda: 3)
    Gauge("galaxy.cache.rows", "", ("cache",)).observe(meter, lambda: {"auth.sessions": 7, "user.accounts": 8})
    telemetry.note_loop_delay(0.02)
    http = HttpTelemetry(telemetry)
    for status in (200, 200, 500):
        served(http, status=status)
    telemetry.shutdown(5)
    by_name = {metric.name: metric for metric in collector.metrics}
    points = by_name["http.server.request.duration"].histogram.data_points
    found = {
        next(each.value.int_value for each in point.attributes if each.key == "http.response.status_code"): point.count
        for point in points
    }
    assert found == {200: 2, 500: 1}
    assert by_name["galaxy.event_loop.delay"].histogram.data_points[0].sum == 0.02
    assert by_name["galaxy.database.pool.used"].gauge.data_points[0].as_int == 3
    rows = by_name["galaxy.cache.rows"].gauge.data_points
    assert {point.attributes[0].value.string_value: point.as_int for point in rows} == {
        "auth.sessions": 7,
        "user.accounts": 8,
    }


def test_nothing_is_global(logged: Logged) -> None:
    """OpenTelemetry's global providers are left alone, no thread runs before `start`, and a second stop is harmless."""
    threads = set(threading.enumerate())
    tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    telemetry = Telemetry(traces_exporter="otlp", metrics_exporter="otlp")
    assert set(threading.enumerate()) <= threads  # one of another test may just be ending
    telemetry.shutdown(1)
    with logged():
        stdout = Telemetry(traces_exporter="stdout", metrics_exporter="stdout")
        stdout.start()
        stdout.shutdown(5)
        stdout.shutdown(5)
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == (tracers, meters)


def test_the_sdk_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, served: Served, logged: Logged) -> None:
    """OTEL_SDK_DISABLED switches all of it off, whatever the settings say."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = Telemetry(traces_exporter="stdout", metrics_exporter="stdout", sample_ratio=1.0)
    with logged() as lines:
        telemetry.start()
        assert served(HttpTelemetry(telemetry))[1] == ""
        telemetry.shutdown(5)
    assert lines == []
