"""Traces and metrics."""

import io
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from random import Random
from typing import Any

import grpc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from opentelemetry import metrics, trace
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_chassis.errors import BootError
from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.logs import configure_logging
from galaxy_chassis.request_context import request_context
from galaxy_chassis.telemetry import Telemetry, throttle
from galaxy_chassis.telemetry.durations import BOUNDS, Durations
from galaxy_chassis.telemetry.sampling import parse_traceparent
from galaxy_chassis.telemetry.throttle import EVERY, Throttle
from galaxy_kernel.http.route import Route

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


async def nothing() -> None:
    """Handle no request."""


ROUTE = Route("GET", "/api/v1/public/things/{id}", nothing, name="things.show", summary="Show a thing.")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.resources: list[dict[str, str]] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's name
        for resource in getattr(request, "resource_spans", ()):
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        for resource in getattr(request, "resource_metrics", ()):
            self.metrics += [metric for scope in resource.scope_metrics for metric in scope.metrics]
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            return metrics_service_pb2.ExportMetricsServiceResponse()
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Run a collector that `otlp` exports to."""
    kept = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call] # generated
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call] # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield kept
    server.stop(None).wait()


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect the log lines written inside."""
    stream = io.StringIO()
    lines: list[dict[str, Any]] = []
    logging = configure_logging(stream=stream)
    try:
        yield lines
    finally:
        logging.close()
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]


def served(http: HttpTelemetry, headers: dict[str, str] | None = None, status: int = 200) -> tuple[str, str]:
    """Serve one request as the HTTP server does; return the trace and span ids of its work."""
    with request_context("things") as work:
        seen = http.begin(ROUTE, CIMultiDict(headers or {}))
        http.end(seen, ROUTE, status, 0.02)
        return work.trace_id, work.span_id


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
@example(SAMPLED)
@example(SAMPLED + "-more")
@example(f"cc-{TRACE_ID}-{SPAN_ID}-01-more")
def test_traceparent_is_read_by_the_standard(value: str) -> None:
    """Whatever is read has the standard's shape, and only what has is read."""
    parent = parse_traceparent(value)
    parts = value.split("-")
    well_formed = (
        len(parts) >= 4
        and [len(part) for part in parts[:4]] == [2, 32, 16, 2]
        and all(set(part) <= set("0123456789abcdef") for part in parts[:4])
        and parts[0] != "ff"
        and int(parts[1], 16) != 0
        and int(parts[2], 16) != 0
        and (parts[0] != "00" or len(parts) == 4)
        and "\n" not in value
    )
    assert (parent is not None) == well_formed
    if parent is not None:
        assert parent == (parts[1], parts[2], int(parts[3], 16) % 2 == 1)


def test_a_traced_request_makes_a_server_span(collector: Collector) -> None:
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


def test_the_caller_decides_over_the_ratio(collector: Collector) -> None:
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


def test_an_untraced_request_has_a_trace_id() -> None:
    """Without a recorded span each request still has a trace id of its own, and no span id."""
    http = HttpTelemetry(Telemetry(sample_ratio=1.0))
    ids = {served(http) for _ in range(10)}
    assert len(ids) == 10
    assert all(len(trace_id) == 32 and span_id == "" for trace_id, span_id in ids)


def test_the_ratio_is_kept(collector: Collector) -> None:
    """About the share of requests that the ratio names is recorded."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=0.25, random=Random(7))
    telemetry.start()
    http = HttpTelemetry(telemetry)
    traced = sum(bool(served(http)[1]) for _ in range(1000))
    telemetry.shutdown(5)
    assert 200 < traced < 300
    assert len(collector.spans) == traced


def test_plugin_spans_follow_the_request(collector: Collector) -> None:
    """A plugin's span is a child of a traced request's, and is not recorded in an untraced one."""
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    http, tracer = HttpTelemetry(telemetry), telemetry.tracer("galaxy_things")
    for header in (SAMPLED, UNSAMPLED):
        with request_context("things"):
            seen = http.begin(ROUTE, CIMultiDict(traceparent=header))
            with tracer.start_as_current_span("inner"):
                pass
            http.end(seen, ROUTE, 200, 0.01)
    telemetry.shutdown(5)
    spans = {span.name: span for span in collector.spans}
    assert len(collector.spans) == 2
    assert spans["inner"].parent_span_id == spans["GET /api/v1/public/things/{id}"].span_id


def test_workers_and_calls_have_spans(collector: Collector) -> None:
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


def test_the_resource_names_the_service(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
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


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(st.lists(st.floats(0, 60) | st.sampled_from(BOUNDS), min_size=1))
def test_durations_are_what_the_sdk_would_measure(seconds: list[float]) -> None:
    """Count, sum, buckets and extremes are exactly those of the SDK's histogram with the same boundaries."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("h", "s", explicit_bucket_boundaries_advisory=list(BOUNDS))
    durations = Durations("h", "", "ours")
    series = durations.make("key", {})
    for each in seconds:
        histogram.record(each)
        series.add(each)
    data = reader.get_metrics_data()
    assert data is not None
    theirs: Any
    ours: Any
    (theirs,), (ours,) = (
        scope.metrics[0].data.data_points for scope in durations.added_to(data).resource_metrics[0].scope_metrics
    )
    assert (ours.count, list(ours.bucket_counts)) == (theirs.count, list(theirs.bucket_counts))
    assert (ours.sum, ours.min, ours.max) == pytest.approx((theirs.sum, theirs.min, theirs.max))
    provider.shutdown()


def test_durations_and_gauges_are_exported(collector: Collector) -> None:
    """Request durations go out by route and status, gauges by what their callbacks return."""
    telemetry = Telemetry(metrics_exporter="otlp")
    telemetry.start()
    telemetry.gauge("galaxy.database.pool.used", lambda: 3, unit="{connection}")
    telemetry.gauge("galaxy.cache.rows", lambda: {"auth.sessions": 7, "user.accounts": 8}, label="cache")
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
    assert by_name["galaxy.database.pool.used"].gauge.data_points[0].as_int == 3
    rows = by_name["galaxy.cache.rows"].gauge.data_points
    assert {point.attributes[0].value.string_value: point.as_int for point in rows} == {
        "auth.sessions": 7,
        "user.accounts": 8,
    }


def test_prometheus_reads_metrics_apart_from_the_api() -> None:
    """Two kernels in one process each serve their own metrics, and stop listening at shutdown."""
    both = [Telemetry(metrics_exporter="prometheus", prometheus_listen_addr="127.0.0.1:0") for _ in range(2)]
    for telemetry in both:
        telemetry.start()
    served(HttpTelemetry(both[0]))
    pages = []
    for telemetry in both:
        with urllib.request.urlopen(f"http://{telemetry.prometheus_address}/metrics", timeout=5) as answer:
            pages.append(answer.read().decode())
    line = next(line for line in pages[0].splitlines() if line.startswith("http_server_request_duration_seconds_count"))
    assert 'http_route="/api/v1/public/things/{id}"' in line
    assert line.endswith(" 1.0")
    assert "http_server_request_duration_seconds" not in pages[1]
    assert "process_uptime_seconds" in pages[1]
    address = both[0].prometheus_address
    assert address is not None
    for telemetry in both:
        telemetry.shutdown(5)
    host, _, port = address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)


def test_a_taken_prometheus_port_refuses_the_boot() -> None:
    """A port that is in use refuses the boot, naming the variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        telemetry = Telemetry(metrics_exporter="prometheus", prometheus_listen_addr=address)
        with pytest.raises(BootError, match="BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR"):
            telemetry.start()
        telemetry.shutdown(1)


def test_stdout_exporters_write_log_lines() -> None:
    """`stdout` writes spans and metrics as JSON lines of the log, scrubbed like any."""
    with logged() as lines:
        telemetry = Telemetry(traces_exporter="stdout", metrics_exporter="stdout", sample_ratio=1.0)
        telemetry.start()
        trace_id, _ = served(HttpTelemetry(telemetry))
        with telemetry.tracer("galaxy_things").start_as_current_span("outside") as span:
            span.set_attribute("who", "ann@example.org")
        telemetry.shutdown(5)
    spans = {line["name"]: line for line in lines if line["event"] == "span"}
    assert spans["GET /api/v1/public/things/{id}"]["trace_id"] == trace_id
    assert spans["outside"]["attributes"]["who"].startswith("email:")
    names = {line["name"] for line in lines if line["event"] == "metric"}
    assert {"http.server.request.duration", "process.uptime"} <= names


@contextmanager
def black_hole() -> Iterator[int]:
    """Accept connections and never answer; return the port."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in kept:
        connection.close()


@contextmanager
def refused() -> Iterator[int]:
    """Return a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("collector_at", [black_hole, refused])
def test_an_unreachable_collector_never_slows_the_service(collector_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a collector that hangs or is gone, requests stay quick, memory bounded, and the stop takes its time only."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1024")
    with logged() as lines, collector_at() as port:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        telemetry = Telemetry(traces_exporter="otlp", metrics_exporter="otlp", sample_ratio=1.0)
        telemetry.start()
        http = HttpTelemetry(telemetry)
        slowest = 0.0
        for _ in range(5000):
            begun = time.perf_counter()
            served(http)
            slowest = max(slowest, time.perf_counter() - begun)
        begun = time.perf_counter()
        telemetry.shutdown(0.5)
        took = time.perf_counter() - begun
    assert slowest < 1.0
    assert took < 2.0
    assert len([line for line in lines if line["event"] == "telemetry_export_failed"]) <= 1
    assert [line for line in lines if line["level"] == "error"] == []


def test_no_span_is_made_that_has_no_room(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work beyond what the collector takes is not traced, so what has a span id in the log is never dropped."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setattr(throttle, "_throttle", Throttle())  # another test may have used this minute's line
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    http = HttpTelemetry(telemetry)
    with logged() as lines:
        ids = [served(http, {"traceparent": SAMPLED}) for _ in range(3000)]
        while not ids[-1][1]:  # until there is room again
            time.sleep(0.01)
            ids.append(served(http))
    telemetry.shutdown(5)
    traced = {span_id for _, span_id in ids if span_id}
    assert {span.span_id.hex() for span in collector.spans} == traced
    assert 8 < len(traced) < 3000
    assert all(trace_id for trace_id, _ in ids)
    assert ["full" in line["detail"] for line in lines if line["event"] == "telemetry_export_failed"] == [True]


def test_nothing_is_global() -> None:
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


def test_the_sdk_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED switches all of it off, whatever the settings say."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = Telemetry(traces_exporter="stdout", metrics_exporter="stdout", sample_ratio=1.0)
    with logged() as lines:
        telemetry.start()
        assert served(HttpTelemetry(telemetry))[1] == ""
        telemetry.shutdown(5)
    assert lines == []


def test_exporter_trouble_is_one_line_a_minute() -> None:
    """Of any number of warnings one a minute is written, with the number held back since the last."""
    import logging

    now = 0.0
    with logged() as lines:
        throttle = Throttle(lambda: now)
        record = logging.makeLogRecord({"name": "opentelemetry.x", "msg": "gone: %s", "args": ("now",), "levelno": 40})
        for _ in range(100):
            throttle.handle(record)
        now = EVERY - 0.1
        throttle.handle(record)
        now = EVERY
        throttle.handle(record)
    assert [(line["detail"], line["held_back"]) for line in lines] == [("gone: now", 0), ("gone: now", 100)]
