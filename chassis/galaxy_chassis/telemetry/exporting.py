"""Where traces and metrics go: readers that add the kernel's durations, log lines, a listener for Prometheus."""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, start_http_server

from galaxy_chassis.config.settings import split_address
from galaxy_chassis.errors import BootError
from galaxy_chassis.logs import get_logger
from galaxy_chassis.telemetry.durations import Durations

_log = get_logger("galaxy_chassis.telemetry")
_trouble = logging.getLogger("opentelemetry.sdk.trace")  # throttled like the SDK's own lines


class SpanQueue(BatchSpanProcessor):
    """The spans on their way to the collector, `OTEL_BSP_MAX_QUEUE_SIZE` (2,048) of them at most."""

    _had_room = True

    def has_room(self) -> bool:
        """Return whether another span can wait.

        The SDK would accept it, drop an older one and log that each time. So
        while the collector is away or slow, nothing is traced rather than traced in vain.
        """
        queue = self._batch_processor._queue  # the SDK offers no other way to learn it
        has_room = len(queue) < (queue.maxlen or 0)
        if self._had_room and not has_room:
            _trouble.warning("the queue of spans is full: nothing is traced until the collector accepts some")
        self._had_room = has_room
        return has_room


class PeriodicReader(PeriodicExportingMetricReader):
    """Exports every `OTEL_METRIC_EXPORT_INTERVAL` milliseconds (60,000) what was measured and the durations."""

    def __init__(self, exporter: MetricExporter, durations: Durations) -> None:
        self._durations = durations  # before the base's constructor, which starts its thread
        super().__init__(exporter)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> None:
        super()._receive_metrics(self._durations.added_to(metrics_data), timeout_millis, **more)


class PrometheusReader(PrometheusMetricReader):
    """Answers Prometheus with what was measured and the durations, from a registry of its own."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self.registry = CollectorRegistry()
        super().__init__(registry=self.registry)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> None:
        super()._receive_metrics(self._durations.added_to(metrics_data), timeout_millis, **more)


class PrometheusListener:
    """Serves `/metrics` from a thread of its own, apart from the API (`BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR`)."""

    def __init__(self, listen_address: str, registry: CollectorRegistry, variable: str) -> None:
        """Listen. Raise BootError, naming `variable`, when the address cannot be had."""
        host, port = split_address(listen_address)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise BootError(
                f"{variable}: cannot listen on {listen_address}: {error.strerror or error}; "
                "choose a free address of this machine"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{self._server.server_port}"
        """Where it listens, with the port it got."""

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LogSpanExporter(SpanExporter):
    """Writes spans as log lines, so that stdout stays JSON lines and goes through the same scrubbing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            _log.info("span", **_span_fields(span))
        return SpanExportResult.SUCCESS


class LogMetricExporter(MetricExporter):
    """Writes metrics as log lines, one a metric."""

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002  the base's signature
        **_more: Any,
    ) -> MetricExportResult:
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = json.loads(metric.data.to_json(indent=None))["data_points"]
                    _log.info("metric", scope=scope.scope.name, name=metric.name, unit=metric.unit, points=points)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002  the base's signature
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_more: Any) -> None:
        pass


def _span_fields(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    return {
        "name": span.name,
        "kind": span.kind.name.lower(),
        "trace_id": "" if context is None else f"{context.trace_id:032x}",
        "span_id": "" if context is None else f"{context.span_id:016x}",
        "parent_span_id": "" if span.parent is None else f"{span.parent.span_id:016x}",
        "duration_ms": round(((span.end_time or 0) - (span.start_time or 0)) / 1e6, 3),
        "status": span.status.status_code.name.lower(),
        "attributes": dict(span.attributes or {}),
        "events": [{"name": event.name, **(event.attributes or {})} for event in span.events],
    }


def in_background(name: str, work: Callable[[], object]) -> threading.Thread:
    """Run a call that may hang in a thread that does not keep the process alive."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
