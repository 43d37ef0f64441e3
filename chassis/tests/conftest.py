"""The process's logging in memory, processes of their own, and a collector of traces and metrics."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import grpc
import pytest
from multidict import CIMultiDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.logs import Logging, configure_logging
from galaxy_chassis.request_context import request_context


class Log:
    """The process's logging, written to memory."""

    def __init__(self, level: str = "info", **options: Any) -> None:
        self.stream = io.StringIO()
        self.logging: Logging = configure_logging(level, stream=self.stream, **options)

    @property
    def text(self) -> str:
        self.logging.flush()
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def make_log() -> Iterator[Callable[..., Log]]:
    """Return what configures logging to memory; each replaces the one before."""
    made: list[Log] = []

    def make(level: str = "info", **options: Any) -> Log:
        made.append(Log(level, **options))
        return made[-1]

    yield make
    for log in made:
        log.logging.close()


@pytest.fixture
def log(make_log: Callable[..., Log]) -> Log:
    """Configure logging to memory."""
    return make_log()


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs a script in a process of its own."""

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    return run


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


@pytest.fixture
def logged() -> Callable[[], AbstractContextManager[list[dict[str, Any]]]]:
    """Return a context manager that collects the log lines written inside; they can be read after it."""

    @contextmanager
    def logged() -> Iterator[list[dict[str, Any]]]:
        log, lines = Log(), list[dict[str, Any]]()
        try:
            yield lines
        finally:
            log.logging.close()
            lines += log.lines

    return logged


class Operation(NamedTuple):
    """What telemetry needs to know of a route."""

    name: str = "things.show"
    method: str = "GET"
    path: str = "/api/v1/public/things/{id}"


@pytest.fixture
def served() -> Callable[..., tuple[str, str]]:
    """Return what serves one request as the HTTP server does, and returns the trace and span ids of its work."""

    def served(
        http: HttpTelemetry, headers: dict[str, str] | None = None, status: int = 200, *, trusted: bool = True
    ) -> tuple[str, str]:
        with request_context("things") as work:
            seen = http.begin(Operation(), CIMultiDict(headers or {}), trusted=trusted)
            http.end(seen, Operation(), status, 0.02)
            return work.trace_id, work.span_id

    return served
